"""Data types of judgments, images and image-text pairs."""

from __future__ import annotations

# N triplets, M stimuli, H W image
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from perceptinit.errors import DataError

T = TypeVar("T")

# path of an image file, content of an image file, or uint8 pixels (H, W, 3)
ImageSource = Path | bytes | np.ndarray
# suffixes of image files, in lower case
IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"))
Split = Literal["train", "val", "test"]
# splits that evaluators accept
MeasuredSplit = Split | Literal["all"]
# unit of held-out splits and of confidence intervals; "image" is a single image in any role
Unit = Literal["anchor", "group", "image"]
# red, green and blue, in [0, 255]
Color = tuple[int, int, int]
WHITE: Color = (255, 255, 255)
FitMode = Literal["center-crop", "squash", "pad"]


def as_votes(counts: Sequence[int] | Sequence[Sequence[int]] | np.ndarray | int) -> np.ndarray:
    """Return counts as int32; DataError instead of a wrapped value."""
    counts = np.asarray(counts)
    if counts.max(initial=0) > np.iinfo(np.int32).max:
        raise DataError(f"{counts.max():,} votes for one question. At most 2,147,483,647 are supported")
    return counts.astype(np.int32)


@dataclass(frozen=True, slots=True)
class Fit:
    """Conversion of images of any aspect ratio to a square network input.

    Args:
        mode: "center-crop" resizes the shorter side and crops the middle. "squash" resizes both sides without
            preserving proportions. "pad" resizes the longer side and adds borders.
        fill: Color of the borders of "pad".
        crop: Side of the square as a share of the resized side, whose margins are cut off; timm's `crop_pct`.
            Not used by "pad".
    """

    mode: FitMode = "center-crop"
    fill: Color = (0, 0, 0)
    crop: float = 1.0

    @classmethod
    def of(cls, model: Any) -> Fit:
        """Return the model's `fit` attribute, or a center crop if it has none."""
        return getattr(model, "fit", cls())


class Lazy(Sequence[T]):
    """A sequence whose items are read on access."""

    def __init__(self, length: int, get: Callable[[int], T]) -> None:
        self._length = length
        self._get = get

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> T:  # type: ignore[override]
        if not 0 <= index < self._length:
            raise IndexError(index)
        return self._get(index)


@dataclass(frozen=True, slots=True)
class Stimuli:
    """The images that people judged.

    Args:
        ids: M unique names. Index arrays refer to this order.
        images: M image sources. A lazy sequence can render images on access.
        background: Color behind transparent pixels.
    """

    ids: tuple[str, ...]
    images: Sequence[ImageSource]
    background: Color = WHITE

    def __post_init__(self) -> None:
        if len(self.images) != len(self.ids):
            raise DataError(f"{len(self.ids)} stimulus ids but {len(self.images)} images")
        if len(set(self.ids)) != len(self.ids):
            raise DataError("stimulus ids are not unique")

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True, eq=False)
class Triplets:
    """Similarity judgments: which of two images is more similar to the anchor?

    Args:
        stimuli: The M images.
        anchor: Indices into `stimuli`, int64 (N,).
        first: Indices of the first candidates, int64 (N,).
        second: Indices of the second candidates, int64 (N,).
        p_second: Share of people who chose `second`, float32 (N,) in [0, 1].
        num_votes: Number of people who judged, int32 (N,), at least 1.
        group: Group id, int64 (N,), for example the anchor image. All judgments of a group belong to one
            split. Ids are unique across the splits of a data set.
        unit: Unit by which splits are held out. Judgments of one unit are dependent.
    """

    stimuli: Stimuli
    anchor: np.ndarray
    first: np.ndarray
    second: np.ndarray
    p_second: np.ndarray
    num_votes: np.ndarray
    group: np.ndarray
    unit: Unit = "anchor"

    @classmethod
    def build(
        cls,
        stimuli: Stimuli,
        anchor: Sequence[int] | np.ndarray,
        first: Sequence[int] | np.ndarray,
        second: Sequence[int] | np.ndarray,
        p_second: Sequence[float] | np.ndarray,
        num_votes: Sequence[int] | np.ndarray | int = 1,
        group: Sequence[int] | np.ndarray | None = None,
        unit: Unit = "anchor",
    ) -> Triplets:
        """Return validated triplets with the documented dtypes. The default group is the anchor.

        Raises:
            DataError: See `check`.
        """
        anchor = np.asarray(anchor, dtype=np.int64)
        votes = np.broadcast_to(as_votes(num_votes), anchor.shape)
        triplets = cls(
            stimuli,
            anchor,
            np.asarray(first, dtype=np.int64),
            np.asarray(second, dtype=np.int64),
            np.asarray(p_second, dtype=np.float32),
            votes.copy(),
            anchor.copy() if group is None else np.asarray(group, dtype=np.int64),
            unit,
        )
        triplets.check()
        return triplets

    def __len__(self) -> int:
        return len(self.anchor)

    def select(self, mask: np.ndarray) -> Triplets:
        """Return the triplets that a boolean mask or an index array selects, with the same stimuli."""
        rows = ("anchor", "first", "second", "p_second", "num_votes", "group")
        return replace(self, **{name: getattr(self, name)[mask] for name in rows})

    def over(self, stimuli: Stimuli) -> Triplets:
        """Return the same judgments, reindexed into `stimuli`, which must contain all image ids."""
        place = {name: i for i, name in enumerate(stimuli.ids)}
        moved = np.array([place.get(name, -1) for name in self.stimuli.ids], dtype=np.int64)
        roles = {n: moved[getattr(self, n)] for n in ("anchor", "first", "second")}
        triplets = replace(self, stimuli=stimuli, **roles)
        triplets.check()
        return triplets

    def check(self) -> None:
        """Validate all rows.

        Raises:
            DataError: If columns differ in length or a row is invalid. The message names the first such row.
        """
        lengths = {len(getattr(self, n)) for n in ("first", "second", "p_second", "num_votes", "group")}
        if lengths != {len(self)}:
            raise DataError(f"triplet columns differ in length: {sorted(lengths | {len(self)})}")
        for name in ("anchor", "first", "second"):
            column = getattr(self, name)
            raise_first(
                (column < 0) | (column >= len(self.stimuli)),
                f"{name} is not one of the {len(self.stimuli)} stimuli",
            )
        raise_first(~((self.p_second >= 0) & (self.p_second <= 1)), "p_second is not in [0, 1]")
        raise_first(self.num_votes < 1, "num_votes is below 1")
        same = (self.anchor == self.first) | (self.anchor == self.second) | (self.first == self.second)
        raise_first(same, "an image occurs twice in the triplet")

    @property
    def roles(self) -> np.ndarray:
        """Return the anchor, first and second indices, int64 (3, N)."""
        return np.stack([self.anchor, self.first, self.second])

    @property
    def used(self) -> np.ndarray:
        """Return the indices of the stimuli that occur in any role, sorted."""
        is_used = np.zeros(len(self.stimuli), dtype=bool)
        for role in (self.anchor, self.first, self.second):
            is_used[role] = True
        return np.flatnonzero(is_used)

    @property
    def used_names(self) -> list[str]:
        """Return the names of the stimuli that occur in any role."""
        return [self.stimuli.ids[i] for i in self.used]


def raise_first(bad: np.ndarray | np.bool_, what: str | Callable[[int], str], row: str = "triplet") -> None:
    """Raise DataError that names the first true row of the mask `bad`, if there is one.

    what: The problem, or a function of the first row that returns it.
    """
    if bad.any():
        first = int(np.argmax(bad))
        problem = what if isinstance(what, str) else what(first)
        raise DataError(f"{row} {first}: {problem} ({int(bad.sum())} such rows)")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataCard:
    """Facts about a data set for `perceptinit data list NAME` and reports. None means unknown.

    Args:
        title: Name of the data set.
        source_url: URL of the source.
        license: License of the data, or "not stated".
        citation: Authors, year, title and journal.
        num_judgments: Number of judgments in the published set.
        ceiling: Published human ceiling, in the data set's own measure.
        sha256: Expected checksums of downloads, by file name.
        size_bytes: Size of the unpacked data.
        checked: How the loader was validated, for example against a published score.
        simulated: Whether the data are simulated.
        by_people: False if a program computed the answers, for example from pixels or class labels.
            Simulated observers count as people.
        num_train: Number of triplets in the training split.
    """

    title: str
    source_url: str
    license: str
    citation: str
    num_judgments: int | None = None
    ceiling: float | None = None
    sha256: Mapping[str, str] = field(default_factory=dict)
    size_bytes: int | None = None
    checked: str = ""
    simulated: bool = False
    by_people: bool = True
    num_train: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DataNeed:
    """Data that a component requires: location, availability, and how to obtain them.

    Args:
        kind: Kind of data, such as "test set".
        name: Name, such as `vtab/dtd`.
        place: Folder or URL (without credentials) of the data.
        problems: Messages of `preflight` about missing data. Empty if the data are present.
        num_bytes: Size, or None if unknown.
        license: License, or empty if unknown.
        ask: Queries the source for size and license over the network.
        fetch: Downloads missing files. Called with the number of parallel downloads and a progress
            callback. None if the user must obtain the data.
        how: Instructions for the user, if `fetch` is None.
        url: An address of the source, whose server must respond before the download starts; empty if unknown.
    """

    kind: str
    name: str
    place: str
    problems: tuple[str, ...] = ()
    num_bytes: int | None = None
    license: str = ""
    ask: Callable[[], tuple[int | None, str]] | None = None
    fetch: Callable[[int, Any], object] | None = None
    how: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Pair:
    """One image with its caption.

    Args:
        key: Name of the sample in messages, such as `00012.tar/000123`.
        image: The image before decoding.
        text: The caption, or its token ids int64 (T,) if the source contains those.
        others: Alternative captions. One caption is sampled each time the pair is used.
    """

    key: str
    image: ImageSource
    text: str | np.ndarray
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Classes:
    """The classes of N images.

    Args:
        names: Names of the C classes.
        labels: Class of each image, int64 (N,) in [0, C).
    """

    names: tuple[str, ...]
    labels: np.ndarray
