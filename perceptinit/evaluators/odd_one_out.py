"""Odd-one-out (`odd-one-out`): does the model leave out the image that people left out?"""

from __future__ import annotations

# N judgments of three images, M images
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from perceptinit.configs import NonNegativeInt
from perceptinit.evaluators.judged import CACHE_MIB, JudgedMeasure, ceiling_fields
from perceptinit.judgments.baselines import Baseline, as_extra, odd_one_out_baselines
from perceptinit.judgments.ceilings import ceiling
from perceptinit.judgments.forms.odd_one_out import (
    CHANCE,
    PAIRS,
    OddOneOut,
    load_odd_one_out,
    odd_one_out_agreement,
)
from perceptinit.judgments.scoring import cosine_distances, held_out_stderr
from perceptinit.protocols import DualEncoder
from perceptinit.types import RunContext, Score


class OddOneOutScore(JudgedMeasure):
    """Which of three images is the odd one, by cosine distance of the image embeddings?

    Gives `odd_one_out/<set>`, the share of human votes that agree with the model: the odd image is
    the one outside the nearest pair; pairs that tie share the votes. Chance is 1/3, the ceiling is how
    well people predict a person's choice: `lower_ceiling` from the others' votes, `ceiling` from all;
    none where hardly a question was answered twice. A split other than `test` is part of the name.
    Judgments: `things`, `odd-one-out`.

    Beside it stands what pixels, the mean colour and a random network score on the same judgments.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(JudgedMeasure.Config):
        cache_mib: NonNegativeInt = CACHE_MIB
        """Decoded images are kept between measurements when they fit into this much memory, MiB."""

    config: Config
    _baselines: tuple[Baseline, ...] | None = None

    def evaluate(self, model: DualEncoder, ctx: RunContext) -> Iterator[Score]:
        """Yield the score; DataError for images that cannot be read."""
        judgments: OddOneOut = self.data
        values = odd_one_out_agreement(self._similarities(model, ctx), judgments.votes)
        weights = judgments.votes.sum(axis=1)
        names = [judgments.stimuli.ids[i] for i in np.unique(judgments.images)]
        if self._baselines is None:  # they do not depend on the model
            self._baselines = odd_one_out_baselines(judgments, num_workers=ctx.num_workers)
        yield Score(
            name=f"odd_one_out/{self.set_name}",
            value=float(np.average(values, weights=weights)),
            num_examples=len(judgments),
            stderr=held_out_stderr(
                values, judgments.unit, None, judgments.group, judgments.images.T, weights
            ),
            chance=CHANCE,
            **ceiling_fields(ceiling(judgments.votes)),
            extra={
                **as_extra(self._baselines),
                **self.held_out(judgments.unit, names),
            },
        )

    def read(self) -> OddOneOut:
        """Return the odd-one-out judgments of the split."""
        return load_odd_one_out(self.judgments, self.config.split)

    def _similarities(self, model: DualEncoder, ctx: RunContext) -> np.ndarray:
        """Return minus the cosine distance of the pairs 0-1, 0-2 and 1-2, (N, 3)."""
        judgments = self.data
        used, places = np.unique(judgments.images, return_inverse=True)
        places = places.reshape(judgments.images.shape)
        z = self.embed(model.encode_image, model.image_size, ctx, judgments.stimuli, used)
        return -np.stack([cosine_distances(z, places[:, a], places[:, b]) for a, b in PAIRS], axis=1)
