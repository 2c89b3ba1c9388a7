"""Agreement with human odd-one-out choices (`odd-one-out`)."""

# N judgments of three images, M images
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from perceptinit.configs import NonNegativeInt
from perceptinit.evaluators.judged import CACHE_MIB, JudgedMeasure, ceiling_fields
from perceptinit.judgments.baselines import as_extra, ceiling, odd_one_out_baselines, values_of
from perceptinit.judgments.forms.odd_one_out import (
    CHANCE,
    PAIRS,
    OddOneOut,
    choose_odd,
    load_odd_one_out,
    odd_one_out_agreement,
)
from perceptinit.judgments.scoring import Distance, held_out_error
from perceptinit.judgments.two_afc import ordered_distances
from perceptinit.protocols import DualEncoder
from perceptinit.types import Items, RunContext, Score


class OddOneOutScore(JudgedMeasure):
    """Share of human votes that agree with the model on the odd one out of three images.

    The score is `odd_one_out/<set>`; a split other than `test` is part of the name. The model chooses the
    image outside the pair with the smallest distance; ties share the votes. Chance is 1/3. The ceiling
    is the share of votes that the majority predicts, without (`lower_ceiling`) or with (`ceiling`) the
    person's own vote. It is missing if few questions have several votes. The record also contains the scores
    of trivial models (pixels, histograms, random network). Judgments: `things`, `odd-one-out`.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(JudgedMeasure.Config):
        cache_mib: NonNegativeInt = CACHE_MIB
        """Memory limit for decoded images that are kept between evaluations, in MiB."""
        distance: Distance | None = None
        """Distance between embeddings: "cosine", "pearson", "euclidean", or "dot" for the negative inner
        product. None for cosine."""

    config: Config

    def evaluate(self, model: DualEncoder, ctx: RunContext) -> Iterator[Score]:
        """Yield the score.

        Raises:
            DataError: If images cannot be read.
        """
        judgments: OddOneOut = self.data
        similarities = self._similarities(model, ctx)
        values = odd_one_out_agreement(similarities, judgments.votes)
        weights = judgments.votes.sum(axis=1)
        error = held_out_error(values, judgments.unit, None, judgments.group, judgments.images.T, weights)
        baselines = odd_one_out_baselines(judgments, num_workers=ctx.num_workers)
        yield Score(
            name=f"odd_one_out{self.variant}/{self.set_name}",
            value=float(np.average(values, weights=weights)),
            num_examples=len(judgments),
            stderr=error.stderr,
            chance=CHANCE,
            **ceiling_fields(ceiling(judgments.votes)),
            extra={
                **as_extra(baselines),
                "held_out": judgments.unit,
                "num_units": error.num_units,
            },
            items=Items(values, judgments.images, weights, values_of(baselines)),
            choices=choose_odd(similarities),
        )

    def read(self) -> OddOneOut:
        """Return the odd-one-out judgments of the split."""
        return load_odd_one_out(self.judgments, self.config.split)

    def _similarities(self, model: DualEncoder, ctx: RunContext) -> np.ndarray:
        """Return the negative distances of the pairs 0-1, 0-2 and 1-2, (N, 3); see `ordered_distances`."""
        judgments = self.data
        used, places = np.unique(judgments.images, return_inverse=True)
        places = places.reshape(judgments.images.shape)
        z = self.embed(model, ctx, judgments.stimuli, used)
        apart = [ordered_distances(z, places[:, a], places[:, b], self.distance) for a, b in PAIRS]
        return -np.stack(apart, axis=1)
