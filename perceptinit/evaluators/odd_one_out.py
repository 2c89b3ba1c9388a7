"""Odd-one-out (`odd-one-out`): does the model leave out the image that people left out?"""

from __future__ import annotations

# N judgments of three images, M images
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from perceptinit.components.building import preflight
from perceptinit.configs import NonNegativeInt, PositiveInt
from perceptinit.errors import PerceptInitError
from perceptinit.images.stimuli import StimulusImages
from perceptinit.judgments.forms.odd_one_out import (
    CHANCE,
    PAIRS,
    OddOneOut,
    load_odd_one_out,
    odd_one_out_agreement,
)
from perceptinit.judgments.two_afc import clustered_stderr, cosine_distances, embed
from perceptinit.protocols import DualEncoder, Judgments
from perceptinit.types import RunContext, Score, Split


class OddOneOutScore:
    """Which of three images is the odd one, by cosine distance of the image embeddings?

    Gives `odd_one_out/<set>`, the share of human votes that agree with the model: the odd image is
    the one outside the nearest pair; pairs that tie share the votes. Chance is 1/3, the ceiling is that
    of always siding with the majority, which is 1 where each question was asked once. A split other
    than `test` is part of the name. Judgments: `things`, `odd-one-out`.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        split: Split = "test"
        """Split of the judgments to measure on."""
        batch_size: PositiveInt = 256
        """Images that go through the model at once."""
        cache_mib: NonNegativeInt = 1024
        """Decoded images are kept between measurements when they fit into this much memory, MiB."""

    def __init__(self, config: Config, judgments: Judgments) -> None:
        self.config, self.judgments = config, judgments
        self._images: StimulusImages | None = None

    def preflight(self) -> Iterator[str]:
        """Yield why the split cannot be loaded, unless the judgments themselves say what is wrong."""
        if preflight(self.judgments):
            return
        try:
            load_odd_one_out(self.judgments, self.config.split)
        except PerceptInitError as error:
            yield str(error)

    def evaluate(self, model: DualEncoder, ctx: RunContext) -> Iterator[Score]:
        """Yield the score; DataError for images that cannot be read."""
        judgments = self._judgments
        values = odd_one_out_agreement(self._similarities(model, ctx), judgments.votes)
        weights = judgments.votes.sum(axis=1)
        yield Score(
            name=f"odd_one_out/{self._set_name()}",
            value=float(np.average(values, weights=weights)),
            num_examples=len(judgments),
            stderr=clustered_stderr(values, judgments.group, weights),
            chance=CHANCE,
            ceiling=judgments.ceiling,
        )

    @cached_property
    def _judgments(self) -> OddOneOut:
        return load_odd_one_out(self.judgments, self.config.split)

    def _set_name(self) -> str:
        split = self.config.split
        return self.judgments.name if split == "test" else f"{self.judgments.name}-{split}"

    def _similarities(self, model: DualEncoder, ctx: RunContext) -> np.ndarray:
        """Return minus the cosine distance of the pairs 0-1, 0-2 and 1-2, (N, 3)."""
        judgments = self._judgments
        if self._images is None or self._images.size != model.image_size:
            self._images = StimulusImages(
                judgments.stimuli,
                model.image_size,
                num_workers=ctx.num_workers,
                cache_bytes=self.config.cache_mib * 2**20,
            )
        used, places = np.unique(judgments.images, return_inverse=True)
        places = places.reshape(judgments.images.shape)
        z = embed(
            model.encode_image,
            self._images,
            used,
            device=ctx.device,
            batch_size=self.config.batch_size,
        )
        return -np.stack(
            [cosine_distances(z, places[:, a], places[:, b]) for a, b in PAIRS], axis=1
        )
