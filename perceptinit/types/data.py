"""Judgments, image-text pairs and what they are made of."""

from __future__ import annotations

# N triplets, M stimuli, H W image
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from perceptinit.errors import DataError

# An image before it is decoded: a file, the bytes of a file, or pixels (H, W, 3) uint8.
ImageSource = Path | bytes | np.ndarray
# what files of images end with, in lower case
IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"))
Split = Literal["train", "val", "test"]
# for measures that train nothing
MeasuredSplit = Split | Literal["all"]
# what is held out as a whole, and so what intervals resample: anchors, groups, or single images in any role
Unit = Literal["anchor", "group", "image"]
# red, green and blue, 0 to 255 each
Colour = tuple[int, int, int]
WHITE: Colour = (255, 255, 255)


@dataclass(frozen=True, slots=True)
class Stimuli:
    """The images that people judged.

    ids: M names that are unique, in the order that index arrays refer to.
    images: M image sources; may be lazy (any sequence), so that images can be made on the fly.
    concepts: M object or category names, or empty when there are none.
    background: what is put behind the transparent parts of images.
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
    """Similarity judgments: which of two images looks more like the anchor?

    stimuli: the M images.
    anchor, first, second: int64 (N,), indices into stimuli.
    p_second: float32 (N,) in [0, 1], share of people who found `second` closer to the anchor.
    num_votes: int32 (N,), how many people judged; at least 1.
    group: int64 (N,), what must not cross splits, such as the anchor image; a number means the same in
    each split of a data set.
    unit: what was held out as a whole; judgments that share one are dependent.
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
        """Return checked triplets in the canonical dtypes; the group is the anchor unless given."""
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
        """Return the rows of a boolean mask or an index array, over the same stimuli."""
        rows = ("anchor", "first", "second", "p_second", "num_votes", "group")
        return replace(self, **{name: getattr(self, name)[mask] for name in rows})

    def over(self, stimuli: Stimuli) -> Triplets:
        """Return the same judgments with indices into other stimuli, which hold all of their images by id."""
        place = {name: i for i, name in enumerate(stimuli.ids)}
        moved = np.array([place.get(name, -1) for name in self.stimuli.ids], dtype=np.int64)
        roles = {n: moved[getattr(self, n)] for n in ("anchor", "first", "second")}
        triplets = replace(self, stimuli=stimuli, **roles)
        triplets.check()
        return triplets

    def check(self) -> None:
        """Raise DataError naming the first row that is not a judgment."""
        lengths = {len(getattr(self, n)) for n in ("first", "second", "p_second", "num_votes", "group")}
        if lengths != {len(self)}:
            raise DataError(f"triplet columns differ in length: {sorted(lengths | {len(self)})}")
        for name in ("anchor", "first", "second"):
            column = getattr(self, name)
            _raise_first(
                (column < 0) | (column >= len(self.stimuli)),
                f"{name} is not one of the {len(self.stimuli)} stimuli",
            )
        _raise_first(~((self.p_second >= 0) & (self.p_second <= 1)), "p_second is not in [0, 1]")
        _raise_first(self.num_votes < 1, "num_votes is below 1")
        same = (self.anchor == self.first) | (self.anchor == self.second) | (self.first == self.second)
        _raise_first(same, "the same image stands twice in one triplet")

    @property
    def roles(self) -> np.ndarray:
        """Return anchor, first and second, int64 (3, N)."""
        return np.stack([self.anchor, self.first, self.second])

    @property
    def used_names(self) -> list[str]:
        """Return the names of the stimuli that occur in any role."""
        return [self.stimuli.ids[i] for i in np.unique(self.roles)]


def _raise_first(bad: np.ndarray, what: str) -> None:
    if bad.any():
        raise DataError(f"triplet {int(np.argmax(bad))}: {what} ({int(bad.sum())} such rows)")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataCard:
    """What a data set is: shown by `perceptinit show judgments NAME` and put into reports.

    num_judgments: judgments of the whole published set, None when unknown; num_train: triplets of its
    training split, None when unknown.
    ceiling: published human ceiling in the set's own measure, None when unknown.
    sha256: file name -> checksum, for the files that the source or we publish sums of; downloads are
    checked against them.
    size_bytes: of the unpacked data, None when unknown.
    checked: what the loader was checked against, such as a published score.
    by_people: False where a program gives the answers, as from pixels or class labels; simulated
    observers stand for people.
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
    """Data that a component cannot do without: what they are, whether they are there, and how they are got.

    kind, name: such as "test set" and `vtab/dtd`. place: folder, or address without credentials, where they
    are looked for.
    problems: sentences of `preflight` that are told because they are absent; empty when they are there.
    num_bytes: None when unknown; licence: empty likewise. ask: asks the source for both, over the network.
    fetch: gets them, called with a number of files at a time and a function that is told of progress; what is
    there is kept. None where that is left to the user, and `how` says how.
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

    key: names the sample in messages, such as `00012.tar/000123`.
    text: the caption, or its token ids int64 (T,) when the source stores those.
    others: further captions of the image; each time it is seen, one of all is drawn.
    """

    key: str
    image: ImageSource
    text: str | np.ndarray
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Classes:
    """The classes of N images.

    names: of the C classes. labels: int64 (N,) in [0, C).
    """

    names: tuple[str, ...]
    labels: np.ndarray
