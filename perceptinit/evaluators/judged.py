"""What measures on human judgments have in common: a split of them, and embeddings of its images."""

from __future__ import annotations

# B batch, S image size
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from perceptinit.components.building import preflight
from perceptinit.compute.optim import Precision, autocast
from perceptinit.configs import NonNegativeInt, PositiveInt
from perceptinit.errors import DataError, problems_of
from perceptinit.images.stimuli import StimulusImages
from perceptinit.judgments.ceilings import Bounds
from perceptinit.judgments.two_afc import embed
from perceptinit.protocols import DualEncoder, Judgments
from perceptinit.types import RunContext, Score, Split, Stimuli, Unit

Encode = Callable[[torch.Tensor], torch.Tensor]
CACHE_MIB = 1024


def ceiling_fields(ceiling: Bounds | None) -> dict[str, Any]:
    """Return a ceiling as the fields of a Score; none when it is unknown."""
    return dict(zip(("lower_ceiling", "ceiling"), ceiling or (), strict=False))


class JudgedMeasure(ABC):
    """Measures image embeddings against judgments; a child gives `read` and `evaluate`."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        split: Split = "test"
        """Split of the judgments to measure on."""
        batch_size: PositiveInt = 256
        """Images that go through the model at once."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class EncodingConfig(Config):
        precision: Precision = "fp32"
        """Arithmetic of the image tower; fp32 is the reference."""
        cache_mib: NonNegativeInt = CACHE_MIB
        """Decoded images are kept between measurements when they fit into this much memory, MiB."""

    def __init__(self, config: Any, judgments: Judgments) -> None:
        self.config, self.judgments = config, judgments
        self._images: StimulusImages | None = None
        self._training: frozenset[str] | None = None  # images of the training split, once asked for

    @abstractmethod
    def read(self) -> object:
        """Return the split in the form that is measured; raises PerceptInitError when it cannot be had."""

    @abstractmethod
    def evaluate(self, model: DualEncoder, ctx: RunContext) -> Iterable[Score]:
        """Return the scores of a model."""

    @cached_property
    def data(self) -> Any:
        """What `read` returned."""
        return self.read()

    def preflight(self) -> Iterator[str]:
        """Yield why the split cannot be loaded, unless the judgments themselves say what is wrong."""
        if not preflight(self.judgments):
            yield from problems_of(lambda: self.data)

    @property
    def set_name(self) -> str:
        """The set as scores name it; a split other than `test` is part of it."""
        split = self.config.split
        return self.judgments.name if split == "test" else f"{self.judgments.name}-{split}"

    def held_out(self, unit: Unit, names: Sequence[str]) -> dict[str, Any]:
        """Return what a score speaks about, for its `extra`.

        held_out: what no other split shares as a whole. seen_in_training: share of the split's images
        `names` that occur in the training split of the same judgments, None when that cannot be had.
        """
        return {"held_out": unit, "seen_in_training": self._share_seen(names)}

    def _share_seen(self, names: Sequence[str]) -> float | None:
        if self.config.split == "train":
            return 1.0
        if self._training is None:
            try:
                self._training = frozenset(self.judgments.load("train").used_names)
            except DataError:
                return None
        return sum(name in self._training for name in names) / len(names)

    def images(
        self, stimuli: Stimuli, size: int, num_workers: int, cache_mib: int = CACHE_MIB
    ) -> StimulusImages:
        """Return the squares of the split's stimuli, the same object while the size is the same."""
        if self._images is None or self._images.size != size:
            self._images = StimulusImages(stimuli, size, num_workers=num_workers, cache_bytes=cache_mib << 20)
        return self._images

    def embed(
        self, encode_image: Encode, size: int, ctx: RunContext, stimuli: Stimuli, used: np.ndarray
    ) -> np.ndarray:
        """Return unit embeddings of the used stimuli, float32 (len(used), D), in the config's precision."""
        cache_mib = getattr(self.config, "cache_mib", CACHE_MIB)
        images = self.images(stimuli, size, ctx.num_workers, cache_mib)
        if isinstance(self.config, JudgedMeasure.EncodingConfig):
            encode_image = self.encoder(encode_image, ctx.device)
        batch_size = self.config.batch_size
        return embed(encode_image, images, used, device=ctx.device, batch_size=batch_size)

    def encoder(self, encode_image: Encode, device: str) -> Encode:
        """Return `encode_image` in the precision of an EncodingConfig; images (B, 3, S, S) in."""

        def encode(images: torch.Tensor) -> torch.Tensor:
            with autocast(device, self.config.precision):
                return encode_image(images)

        return encode
