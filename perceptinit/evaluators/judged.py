"""Base class of measures on human judgments."""

# B batch, S image size
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, Self

import numpy as np
import torch

from perceptinit.components.building import preflight
from perceptinit.compute.optim import Precision, autocast
from perceptinit.configs import NonNegativeInt, PositiveInt
from perceptinit.errors import DataError, list_some, problems_of
from perceptinit.images.background import cropped_share, describe_crops
from perceptinit.images.decoding import decode_with_alpha
from perceptinit.images.stimuli import StimulusImages
from perceptinit.judgments.baselines import Bounds
from perceptinit.judgments.scoring import Distance
from perceptinit.judgments.two_afc import embed, prepare_rows
from perceptinit.protocols import DualEncoder, Judgments
from perceptinit.registry import suggest
from perceptinit.types import Fit, ImageSource, RunContext, Score, Split, Stimuli

CACHE_MIB = 1024
MOST_CROPPED = 0.05  # share of the area
NUM_SAMPLED = 100


def ceiling_fields(ceiling: Bounds | None) -> dict[str, Any]:
    """Return a ceiling as fields of a Score; empty if unknown."""
    return dict(zip(("lower_ceiling", "ceiling"), ceiling or (), strict=False))


def find_crops(judgments: Judgments, fit: Fit) -> Iterator[str]:
    """Yield a warning if a center crop removes more than MOST_CROPPED of the median of the first images."""
    with suppress(DataError):  # the preflight reports judgments and images that cannot be read
        images = judgments.load("train").stimuli.images
        shares = [cropped_share(decode_with_alpha(image, "")) for image in islice(images, NUM_SAMPLED)]
        if fit.mode == "center-crop" and np.median(shares) > MOST_CROPPED:
            yield describe_crops(shares)


@dataclass(frozen=True, slots=True, eq=False)
class GivenEmbeddings:
    """Embeddings of named images, which a measure accepts in place of a model.

    Args:
        source: File or model, for messages.
        names: Names of the M images.
        embeddings: Shape (M, D), of any length.
    """

    source: str
    names: Sequence[str]
    embeddings: torch.Tensor

    def of(self, names: Sequence[str], distance: Distance = "cosine") -> np.ndarray:
        """Return the embeddings of images, prepared for a distance; DataError that names a missing image."""
        place = {name: row for row, name in enumerate(self.names)}
        missing = [name for name in names if name not in place]
        if missing:
            hint = suggest(missing[0], self.names)
            listed = f" ({len(missing):,} images are missing: {list_some(missing)})" if missing[1:] else ""
            raise DataError(f"{self.source}: no embedding of image '{missing[0]}'.{hint}{listed}")
        return prepare_rows(self.embeddings[[place[name] for name in names]], distance)


class JudgedMeasure(ABC):
    """Base class of measures on human judgments. Subclasses define `read` and `evaluate`."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        split: Split = "test"
        """Split of the judgments."""
        batch_size: PositiveInt = 256
        """Images per batch."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class EncodingConfig(Config):
        precision: Precision = "fp32"
        """Precision of the image tower; fp32 is the reference."""
        cache_mib: NonNegativeInt = CACHE_MIB
        """Memory limit for decoded images that are kept between evaluations, in MiB."""

    def __init__(self, config: Any, judgments: Judgments) -> None:
        self.config = config
        self.judgments = judgments
        self.names_people = True
        self._images: dict[tuple[int, Fit], StimulusImages] = {}

    @abstractmethod
    def read(self) -> object:
        """Return the judgments of the split.

        Raises:
            PerceptInitError: If they cannot be read.
        """

    @abstractmethod
    def evaluate(self, model: DualEncoder, ctx: RunContext) -> Iterable[Score]:
        """Return the scores of a model."""

    @cached_property
    def data(self) -> Any:
        """The result of `read`, cached."""
        return self.read()

    def with_data(self, data: object) -> Self:
        """Return the measure of some of its judgments, without the people who gave them."""
        measure = type(self)(self.config, self.judgments)
        measure.names_people = False
        measure.__dict__["data"] = data  # the cached result of `read`
        return measure

    def preflight(self) -> Iterator[str]:
        """Yield problems with the split, unless `preflight` of the judgments already finds a problem."""
        if not preflight(self.judgments):
            yield from problems_of(lambda: self.data)

    def used(self) -> tuple[Stimuli, np.ndarray]:
        """Return the stimuli and the indices of the images in judgments of the split, int64 (K,)."""
        triplets = self.judgments.load(self.config.split)
        return triplets.stimuli, np.unique(triplets.roles)

    def evaluated_images(self) -> Iterator[tuple[str, Sequence[ImageSource]]]:
        """Yield the name of the set and the images that occur in judgments of the split."""
        stimuli, used = self.used()
        yield self.set_name, [stimuli.images[index] for index in used]

    @property
    def set_name(self) -> str:
        """Name of the set in scores, with the split if it is not `test`."""
        name = self.judgments.name
        return name if self.config.split == "test" else f"{name}-{self.config.split}"

    @property
    def variant(self) -> str:
        """End of the measure in scores by another distance than cosine, such as `_euclidean`."""
        return "" if self.distance == "cosine" else f"_{self.distance}"

    @property
    def distance(self) -> Distance:
        """Distance between embeddings, by the key `distance` of measures that have it."""
        return getattr(self.config, "distance", None) or "cosine"

    def images(
        self,
        stimuli: Stimuli,
        size: int,
        num_workers: int,
        cache_mib: int = CACHE_MIB,
        fit: Fit = Fit(),
    ) -> StimulusImages:
        """Return the square images of the stimuli, which are kept for as many inputs as the cache holds."""
        if (size, fit) not in self._images:
            limit = cache_mib << 20
            new = StimulusImages(stimuli, size, fit=fit, num_workers=num_workers, cache_bytes=limit)
            if new.num_bytes + sum(each.num_bytes for each in self._images.values()) > limit:
                self._images.clear()
            self._images[size, fit] = new
        return self._images[size, fit]

    def embed(self, model: DualEncoder, ctx: RunContext, stimuli: Stimuli, used: np.ndarray) -> np.ndarray:
        """Return embeddings of the used stimuli, prepared for the distance, float64 (len(used), D)."""
        if isinstance(model, GivenEmbeddings):
            return model.of([stimuli.ids[index] for index in used], self.distance)
        precision: Precision | None = getattr(self.config, "precision", None)
        cache_mib = getattr(self.config, "cache_mib", CACHE_MIB)
        images = self.images(stimuli, model.image_size, ctx.num_workers, cache_mib, Fit.of(model))

        def encode(batch: torch.Tensor) -> torch.Tensor:
            with autocast(ctx.device, precision) if precision else nullcontext():
                return model.encode_image(batch)

        return embed(
            encode,
            images,
            used,
            device=ctx.device,
            batch_size=self.config.batch_size,
            distance=self.distance,
        )
