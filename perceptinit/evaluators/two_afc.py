"""Agreement with human similarity judgments (2AFC), with the human ceiling and a collapse alarm."""

from __future__ import annotations

# B batch, S image size
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch

from perceptinit.components.building import preflight
from perceptinit.compute.optim import Precision, autocast
from perceptinit.configs import NonNegativeInt, PositiveInt
from perceptinit.errors import DataError
from perceptinit.images.stimuli import StimulusImages
from perceptinit.judgments.two_afc import COLLAPSED_SPREAD, TwoAFCResult, Weighting, measure
from perceptinit.protocols import DualEncoder, Judgments
from perceptinit.types import RunContext, Score, Split, Triplets


class TwoAFC:
    """Which of two images is closer to an anchor, by cosine distance of the image embeddings?

    Gives `2afc/<set>`, the share of human votes that agree with the model: a tie earns half, chance
    is 0.5, the ceiling is that of always siding with the majority. Its standard error treats the
    judgments of one anchor as dependent. And `embedding_spread/<set>`, the mean cosine distance of
    two different images, with a warning when it shows a collapse. A split other than `test` is part
    of the names: `2afc/nights-val`.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        split: Split = "test"
        """Split of the judgments to measure on."""
        weighting: Weighting = "votes"
        """What counts once: every vote, or every triplet as in DreamSim's scores of NIGHTS ("judgments")."""
        batch_size: PositiveInt = 256
        """Images that go through the model at once."""
        precision: Precision = "fp32"
        """Arithmetic of the image tower; fp32 is the reference."""
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
            self.judgments.load(self.config.split)
        except DataError as error:
            yield str(error)

    def evaluate(self, model: DualEncoder, ctx: RunContext) -> Iterator[Score]:
        """Yield the 2AFC score and the spread.

        Raises DataError for judgments or images that cannot be read, TrainingError for embeddings
        that are not finite.
        """
        result = self._measure(model, ctx)
        name = self._set_name()
        if result.is_collapsed:
            ctx.warn(
                f"2afc/{name}: the image embeddings have collapsed: different images are "
                f"{result.spread:.2g} apart on average (cosine distance, alarm below "
                f"{COLLAPSED_SPREAD:g}); {result.num_ties:,} of {result.num_judgments:,} judgments are ties"
            )
        yield Score(
            name=f"2afc/{name}",
            value=result.accuracy,
            num_examples=result.num_judgments,
            stderr=result.stderr,
            chance=0.5,
            ceiling=result.ceiling,
            extra={
                "weighting": self.config.weighting,
                "num_ties": result.num_ties,
                "num_anchors": result.num_anchors,
            },
        )
        yield Score(
            name=f"embedding_spread/{name}", value=result.spread, num_examples=result.num_images
        )

    @cached_property
    def _triplets(self) -> Triplets:
        return self.judgments.load(self.config.split)

    def _set_name(self) -> str:
        split = self.config.split
        return self.judgments.name if split == "test" else f"{self.judgments.name}-{split}"

    def _measure(self, model: DualEncoder, ctx: RunContext) -> TwoAFCResult:
        def encode(images: torch.Tensor) -> torch.Tensor:
            with autocast(ctx.device, self.config.precision):
                return model.encode_image(images)

        return measure(
            encode,
            self._triplets,
            self._stimulus_images(model.image_size, ctx.num_workers),
            device=ctx.device,
            batch_size=self.config.batch_size,
            weighting=self.config.weighting,
        )

    def _stimulus_images(self, size: int, num_workers: int) -> StimulusImages:
        if self._images is None or self._images.size != size:
            self._images = StimulusImages(
                self._triplets.stimuli,
                size,
                num_workers=num_workers,
                cache_bytes=self.config.cache_mib * 2**20,
            )
        return self._images
