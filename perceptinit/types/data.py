"""Judgments, image-text pairs and their parts."""

from __future__ import annotations

# N triplets, M stimuli, H W image
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from perceptinit.errors import DataError

# an encoded image: a file, the bytes of a file, or pixels uint8 (H, W, 3)
ImageSource = Path | bytes | np.ndarray
# suffixes of image files, in lower case
IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"))
Split = Literal["train", "val", "test"]
# for measures without training
MeasuredSplit = Split | Literal["all"]
# the unit that is held out and that intervals resample: anchors, groups, or single images in any role
Unit = Literal["anchor", "group", "image"]
# red, green and blue, in [0, 255]
Colour = tuple[int, int, int]
WHITE: Colour = (255, 255, 255)
FitMode = Literal["center-crop", "squash", "pad"]


@dataclass(frozen=True, slots=True)
class Fit:
    """How an image of any shape becomes the square that a network sees.

    Args:
        mode: "center-crop" resizes the shorter side and crops the middle. "squash" resizes both sides without
            preserving proportions. "pad" resizes the longer side and adds borders.
        fill: Colour of the borders of "pad".
    """

    mode: FitMode = "center-crop"
    fill: Colour = (0, 0, 0)

    @classmethod
    def of(cls, model: Any) -> Fit:
        """Return the attribute `fit` of a model, or a center crop if it has none."""
        return getattr(model, "fit", cls())


@dataclass(frozen=True, slots=True)
class Stimuli:
    """The images that people judged.

    Args:
        ids: M unique names; arrays of indices refer to this order.
        images: M image sources. Any sequence, so that images can be rendered on access.
        concepts: M object or category names, or empty.
        background: Color behind transparent pixels.
    """

    ids: tuple[str, ...]
    images: Sequence[ImageSource]
    concepts: tuple[str, ...] = ()
    background: Colour = WHITE

    def __post_init__(self) -> None:
        if len(self.images) != len(self.ids):
            raise DataError(f"{len(self.ids)} stimulus ids but {len(self.images)} images")
        if self.concepts and len(self.concepts) != len(self.ids):
            raise DataError(f"{len(self.ids)} stimulus ids but {len(self.concepts)} concepts")
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
        group: Identifier of the group, int64 (N,), such as the anchor image. A group is in one split only,
            and its identifier is the same in all splits of a data set.
        unit: The unit that was held out. Judgments of the same unit are dependent.
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
        """Return validated triplets in the dtypes of the class. The default group is the anchor.

        Raises:
            DataError: See `check`.
        """
        anchor = np.asarray(anchor, dtype=np.int64)
        votes = np.broadcast_to(np.asarray(num_votes, dtype=np.int32), anchor.shape)
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
        """Return the rows of a boolean mask or an array of indices, over the same stimuli."""
        rows = ("anchor", "first", "second", "p_second", "num_votes", "group")
        return replace(self, **{name: getattr(self, name)[mask] for name in rows})

    def over(self, stimuli: Stimuli) -> Triplets:
        """Return the same judgments with indices into other stimuli, which contain all images by id."""
        place = {name: i for i, name in enumerate(stimuli.ids)}
        moved = np.array([place.get(name, -1) for name in self.stimuli.ids], dtype=np.int64)
        roles = {n: moved[getattr(self, n)] for n in ("anchor", "first", "second")}
        triplets = replace(self, stimuli=stimuli, **roles)
        triplets.check()
        return triplets

    def check(self) -> None:
        """Validate all rows.

        Raises:
            DataError: If columns differ in length or a row is invalid; names the first such row.
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
        """Return anchor, first and second, int64 (3, N)."""
        return np.stack([self.anchor, self.first, self.second])

    @property
    def used_names(self) -> list[str]:
        """Return the names of the stimuli that occur in any role."""
        return [self.stimuli.ids[i] for i in np.unique(self.roles)]


def raise_first(bad: np.ndarray | np.bool_, what: str, row: str = "triplet") -> None:
    """Raise DataError for the first row in a mask, if there is one; `row` names a row."""
    if bad.any():
        raise DataError(f"{row} {int(np.argmax(bad))}: {what} ({int(bad.sum())} such rows)")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataCard:
    """Facts about a data set, for `perceptinit data list NAME` and reports. None means unknown.

    Args:
        title: Name of the data set.
        source_url: Address of the source.
        licence: Licence of the data, "not stated" if the source does not say.
        citation: Authors, year, title and journal.
        num_judgments: Number of judgments in the published set.
        ceiling: Published human ceiling, in the set's own measure.
        sha256: Checksums by file name. Downloads are compared with them.
        size_bytes: Size of the unpacked data.
        checked: How the loader was validated, such as a published score.
        simulated: Whether the data are simulated.
        by_people: False if a program gives the answers, such as from pixels or class labels. Simulated
            observers count as people.
        num_train: Number of triplets in the training split.
    """

    title: str
    source_url: str
    licence: str
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
    """Data that a component requires, whether they are present, and how to get them.

    Args:
        kind: Such as "test set".
        name: Such as `vtab/dtd`.
        place: Folder, or address without credentials, that is searched.
        problems: Sentences of `preflight` about missing data; empty if the data are present.
        num_bytes: Size, or None if unknown.
        licence: Licence, or empty if unknown.
        ask: Returns size and licence from the source, over the network.
        fetch: Downloads the data. It takes the number of parallel files and a function that receives
            progress, and keeps existing files. None if the user must get the data.
        how: How the user gets the data, if `fetch` is None.
    """

    kind: str
    name: str
    place: str
    problems: tuple[str, ...] = ()
    num_bytes: int | None = None
    licence: str = ""
    ask: Callable[[], tuple[int | None, str]] | None = None
    fetch: Callable[[int, Any], object] | None = None
    how: str = ""


@dataclass(frozen=True, slots=True)
class Pair:
    """One image with its caption.

    Args:
        key: Name of the sample in messages, such as `00012.tar/000123`.
        image: The image, not decoded.
        text: The caption, or its token ids int64 (T,) if the source contains those.
        others: Further captions of the image. One caption is drawn at random each time.
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
