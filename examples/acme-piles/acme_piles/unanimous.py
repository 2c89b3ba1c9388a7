"""Evaluator `acme/unanimous`: 2AFC on unanimous questions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from perceptinit.plugin import (
    DataError,
    DualEncoder,
    JudgedMeasure,
    PositiveInt,
    RunContext,
    Score,
    Triplets,
    measure,
)


class Unanimous(JudgedMeasure):
    """Share of unanimous questions on which a model agrees with the participants.

    Reports `2afc_unanimous/<set>`; chance is 0.5 and the ceiling is 1.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(JudgedMeasure.Config):
        min_votes: PositiveInt = 2
        """Minimum number of votes; one vote is always unanimous."""

    def read(self) -> Triplets:
        """Return the unanimous questions of the split.

        Raises:
            DataError: If there are none.
        """
        triplets = self.judgments.load(self.config.split)
        agreed = np.isin(triplets.p_second, (0.0, 1.0))
        chosen = triplets.select(agreed & (triplets.num_votes >= self.config.min_votes))
        if not len(chosen):
            raise DataError(
                f"{self.set_name}: no unanimous question has {self.config.min_votes} votes or more. "
                "Lower min_votes"
            )
        return chosen

    def evaluate(self, model: DualEncoder, ctx: RunContext) -> Iterator[Score]:
        """Yield the score of a model."""
        triplets = self.read()
        images = self.images(triplets.stimuli, model.image_size, ctx.num_workers)
        result = measure(
            model.encode_image,
            triplets,
            images,
            device=ctx.device,
            batch_size=self.config.batch_size,
        )
        yield Score(
            name=f"2afc_unanimous/{self.set_name}",
            value=result.accuracy,
            stderr=result.stderr,
            num_examples=result.num_judgments,
            chance=0.5,
            ceiling=1.0,
        )
