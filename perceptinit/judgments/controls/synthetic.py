"""Judgments without human data: of rendered images (`synthetic`), or from classes (`class-triplets`).

The image-text pairs and the test set called `synthetic` use the same renderer and factors. Random streams
differ, so the splits, the pairs and the test set have no image in common.
"""

# N triplets with three images each, M images

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np

from perceptinit.configs import NEUTRAL, DrawnSide, NonNegativeInt, NumDrawn, PositiveInt
from perceptinit.errors import DataError, problems_of
from perceptinit.images.background import colour_of
from perceptinit.judgments.forms.drawing import DerivedAnswers
from perceptinit.judgments.forms.splits import SPLITS, Conventions, SplitConfig, split_names
from perceptinit.judgments.image_files import read_labelled_parquet
from perceptinit.seeding import generator
from perceptinit.types import IMAGE_SUFFIXES, DataCard, ImageSource, Split, Stimuli, Triplets
from perceptinit.world.pictures import Pictures
from perceptinit.world.triplets import ROLES, draw_role, keep_votes


@dataclass(eq=False)
class SyntheticJudgments:
    """Votes of simulated observers on which of two rendered objects looks more like a third."""

    name = "synthetic"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        seed: NonNegativeInt = 0
        """Seed of the images and observers. Independent of the run's seed: all runs share one data set."""
        image_size: DrawnSide = 32
        """Height and width of the images, pixels."""
        num_train: NumDrawn = 2000
        """Number of training triplets, with three images each."""
        num_val: NumDrawn = 500
        """Number of validation triplets."""
        num_test: NumDrawn = 1000
        """Number of test triplets."""
        num_observers: PositiveInt = 40
        """Number of observers, shared by all splits."""
        min_votes: PositiveInt = 5
        """Minimum number of votes per triplet."""
        max_votes: PositiveInt = 9
        """Maximum number of votes per triplet."""

        def __post_init__(self) -> None:
            if not self.min_votes <= self.max_votes <= self.num_observers:
                raise ValueError(
                    "set min_votes <= max_votes <= num_observers, got "
                    f"{self.min_votes}, {self.max_votes} and {self.num_observers}"
                )

        def smoke(self) -> SyntheticJudgments.Config:
            """Return a copy with a few dozen triplets."""
            return replace(self, num_train=48, num_val=24, num_test=24)

    config: Config

    conventions: ClassVar[Conventions] = Conventions(sides="random", ties="retained", winner_first="no")

    @property
    def card(self) -> DataCard:
        c = self.config
        return DataCard(
            title="Simulated similarity judgments of rendered shapes (no human data)",
            source_url="built in: perceptinit.world",
            license="Apache-2.0",
            citation="simulated by perceptinit",
            num_judgments=c.num_train + c.num_val + c.num_test,
            simulated=True,
        )

    def load(self, split: Split) -> Triplets:
        """Return the triplets of a split; images are rendered once a machine."""
        return _draw_split(self.config, split)


@lru_cache(maxsize=8)  # the runs of a process, and both stages of a run, read the same splits
def _draw_split(c: SyntheticJudgments.Config, split: Split) -> Triplets:
    counts = {"train": c.num_train, "val": c.num_val, "test": c.num_test}
    # splits share no anchors, so group ids are offset to be unique across splits
    count = counts[split]
    first_group = sum(list(counts.values())[: SPLITS.index(split)])
    num_second, num_votes = keep_votes(
        c.seed, split, count, c.num_observers, (c.min_votes, c.max_votes), c.image_size
    )
    ids = tuple(f"{split}-{i:05d}-{role}" for i in range(count) for role in ROLES)
    images = Pictures((c.seed, "judgments", split), len(ids), c.image_size, partial(draw_role, c.seed, split))
    anchor = np.arange(count) * len(ROLES)
    group = first_group + np.arange(count)
    stimuli = Stimuli(ids, images)
    return Triplets.build(stimuli, anchor, anchor + 1, anchor + 2, num_second / num_votes, num_votes, group)


@dataclass(eq=False)
class ClassTriplets(DerivedAnswers):
    """Triplets from labeled images: one candidate has the anchor's class, the other has another class.

    `root` is a folder with a subfolder per class, or a Parquet file with columns of image bytes and labels.
    Each triplet has one vote, computed from labels. The control shows whether labels help as much as human
    judgments. If the images belong to the evaluated classes, this is supervised training. Splits are by
    image.
    """

    name = "class-triplets"
    conventions: ClassVar[Conventions] = Conventions(
        index_base="by name, in alphabetical order",
        sides="randomized by seed",
        direction="the candidate from the anchor's class wins",
        ties="none",
        winner_first="no",
    )
    card: ClassVar[DataCard] = DataCard(
        title="Triplets from class labels (control, no human data)",
        source_url="your own images",
        license="license of the images",
        citation="not stated",
        ceiling=1.0,
        by_people=False,
    )

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(SplitConfig):
        root: Annotated[Path, NEUTRAL]
        """Folder with one subfolder of images per class, or a .parquet file."""
        image_column: str = "image"
        """Column of encoded images in a Parquet file."""
        label_column: str = "label"
        """Column of class labels in a Parquet file."""
        num_triplets: PositiveInt = 20_000
        """Number of training triplets; `val` and `test` have the same number per image."""

    config: Config

    def preflight(self) -> Iterator[str]:
        """Yield a problem if the folder or file is missing or has too few images."""
        return problems_of(self.load, "train")

    def load(self, split: Split) -> Triplets:
        """Return the triplets of a split; DataError if its images form no triplet."""
        c, (stimuli, labels) = self.config, self._labelled
        splits = split_names(stimuli.ids, c, self.name)
        members = np.flatnonzero(splits == split)
        share = len(members) / max(1, int((splits == "train").sum()))
        rng = generator(c.seed, "judgments", self.name, split)
        rows = draw_class_triplets(labels, members, round(share * c.num_triplets), rng)
        if not len(rows):
            raise DataError(
                f"root = \"{c.root}\": no triplets in split '{split}' ({len(members)} images). A triplet "
                "requires two images of one class and one of another"
            )
        is_second = rng.random(len(rows)) < 0.5
        anchor, same, other = rows.T
        first, second = np.where(is_second, [other, same], [same, other])
        return Triplets.build(stimuli, anchor, first, second, is_second.astype(np.float32), unit="image")

    @cached_property
    def _labelled(self) -> tuple[Stimuli, np.ndarray]:
        """The images and their class labels, int64 (M,); classes are numbered in alphabetical order."""
        c = self.config
        images: Sequence[ImageSource]
        if c.root.suffix == ".parquet":
            images, classes = read_labelled_parquet(c.root, c.image_column, c.label_column)
            ids = [f"row-{i:07d}" for i in range(len(images))]
            names = list(map(str, classes))
        else:
            if not c.root.is_dir():
                raise DataError(f'root = "{c.root}": neither a folder nor a .parquet file')
            images = files = sorted(p for p in c.root.glob("*/*") if p.suffix.lower() in IMAGE_SUFFIXES)
            if not files:
                raise DataError(f'root = "{c.root}": no images found. Expected one subfolder per class')
            ids = [path.relative_to(c.root).as_posix() for path in files]
            names = [path.parent.name for path in files]
        _, labels = np.unique(names, return_inverse=True)
        return Stimuli(tuple(ids), images, colour_of(c.background)), labels


def draw_class_triplets(
    labels: np.ndarray, members: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Return up to `count` distinct triplets, int64 (N, 3): anchor, same class, other class.

    Anchors are sampled uniformly from images whose class contains at least two images.

    Args:
        labels: Classes of all images, int64 (M,).
        members: Indices of the eligible images.
        count: Maximum number of triplets.
        rng: Random generator.
    """
    sizes = np.bincount(labels[members], minlength=labels.max() + 1)
    anchors = members[sizes[labels[members]] > 1]
    if not len(anchors) or len(np.unique(labels[members])) < 2:
        return np.empty((0, 3), dtype=np.int64)
    by_class = {c: members[labels[members] == c] for c in np.unique(labels[members])}
    others = {c: members[labels[members] != c] for c in by_class}
    rows = set()
    for anchor in rng.choice(anchors, size=count).tolist():
        same = by_class[labels[anchor]]
        partner = rng.choice(same[same != anchor])
        rows.add((anchor, int(partner), int(rng.choice(others[labels[anchor]]))))
    table = np.array(sorted(rows), dtype=np.int64).reshape(-1, 3)
    return table[rng.permutation(len(table))]
