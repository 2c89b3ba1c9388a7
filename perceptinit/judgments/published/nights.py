"""NIGHTS (Fu et al. 2023): which of two generated images looks more like the reference?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from perceptinit.configs import PositiveInt
from perceptinit.errors import DataError
from perceptinit.files.columns import Columns
from perceptinit.files.downloads import Download
from perceptinit.files.tables import read_table
from perceptinit.judgments.forms.conventions import Conventions
from perceptinit.judgments.forms.named_triplets import NamedTriplets
from perceptinit.judgments.forms.splits import SPLITS
from perceptinit.judgments.image_files import index_images, list_some, missing_files, stimuli_in
from perceptinit.types import DataCard, Split, Triplets

SOURCE = "perceptinit data download nights (58 GB)"
IMAGE_COLUMNS = ("ref_path", "left_path", "right_path")

URL = "https://data.csail.mit.edu/nights"
NUM_CHUNKS = 100
KINDS = ("ref", "distort")
# the unpacked sizes that the source states, divided evenly
CHUNK_BYTES = 58_000_000_000 // (len(KINDS) * NUM_CHUNKS)
UNFILTERED = ("0_24", "25_49", "50_74", "75_99")
UNFILTERED_BYTES = 289_000_000_000 // (len(KINDS) * len(UNFILTERED))


def nights_downloads() -> tuple[Download, ...]:
    """Return the files of each part: "data" (the 20,019 triplets), "table", "unfiltered" and "jnd".

    `data.csv` is only inside the source's 58 GB archive, of which this member alone is read.
    """
    table = Download(urls=(f"{URL}/nights.zip",), path="data.csv", member="data.csv", parts=("data", "table"))
    chunks = (
        Download(
            urls=(f"{URL}/nights_chunked/{kind}/{number:03d}.zip",),
            path=f"{kind}-{number:03d}.zip",
            unpack=True,
            into=kind,
            unpacked_bytes=CHUNK_BYTES,
        )
        for kind in KINDS
        for number in range(NUM_CHUNKS)
    )
    jnd = Download(urls=(f"{URL}/jnd_votes.csv",), path="jnd_votes.csv", parts=("jnd",))
    # the source states http for this table; https is tried first
    name = "nights_unfiltered/nights_raw.csv"
    urls = (f"{URL}/{name}", f"{URL.replace('https', 'http')}/{name}")
    raw_table = Download(urls=urls, path="unfiltered/nights_raw.csv", parts=("unfiltered",))
    raw_images = (
        Download(
            urls=(f"{URL}/nights_unfiltered/{kind}_{span}.zip",),
            path=f"unfiltered/{kind}_{span}.zip",
            unpack=True,
            into=f"unfiltered/{kind}",
            unpacked_bytes=UNFILTERED_BYTES,
            parts=("unfiltered",),
        )
        for kind in KINDS
        for span in UNFILTERED
    )
    return (table, *chunks, jnd, raw_table, *raw_images)


class Nights:
    """Judgments of 20,019 triplets made with Stable Diffusion from the class names of six image sets.

    The folder is the published one: `data.csv`, `ref/` and `distort/`. `first` is the left image,
    `second` the right one; `left_vote` and `right_vote` may be counts or shares. The published
    splits are used; triplets of one reference are a group.

    With `unfiltered`, `train` consists of the 100,000 unfiltered triplets (`nights_raw.csv`), which have
    fewer votes and less agreement, without the references of `val` and `test` in `data.csv`. `val` and `test`
    are unchanged. `same-different` reads the JND votes (`jnd_votes.csv`).
    """

    conventions: ClassVar[Conventions] = Conventions(
        sides="first = left, second = right, as shown to people",
        direction="left_vote, right_vote: votes, or shares of them",
        ties="kept, as votes",
        winner_first="no",
    )
    card: ClassVar[DataCard] = DataCard(
        title="NIGHTS: similarity judgments of generated images",
        source_url="https://github.com/ssundaram21/dreamsim",
        licence="not stated for the data (code: MIT)",
        citation="Fu, Tamir, Sundaram, Chai, Zhang, Dekel and Isola (2023). DreamSim: Learning New "
        "Dimensions of Human Visual Similarity using Synthetic Data. NeurIPS",
        num_judgments=20_019,
        num_train=15_941,  # before the filter of votes
        size_bytes=58_000_000_000,
        checked="generated files in the published layout; published 2AFC to compare with on test: DreamSim "
        "ensemble 0.962, fine-tuned OpenCLIP ViT-B/32 0.953, CLIP ViT-B/32 0.936",
    )
    downloads: ClassVar[tuple[Download, ...]] = nights_downloads()

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        root: Path
        """The folder of `data.csv`."""
        min_votes: PositiveInt = 6
        """Minimum number of votes of a triplet. 6 is the filter of DreamSim and of all published scores."""
        unfiltered: Path | None = None
        """Folder of the unfiltered set (`nights_raw.csv`, `ref/`, `distort/`), used for `train`."""
        test_subset: Literal["all", "imagenet", "no_imagenet"] = "all"
        """Part of the test split: ImageNet classes, other images, or all, as DreamSim reports them."""

    def __init__(self, config: Config) -> None:
        self.config = config

    @property
    def name(self) -> str:
        subset = self.config.test_subset
        return "nights" if subset == "all" else f"nights-{subset.replace('_', '-')}"

    def preflight(self) -> Iterator[str]:
        """Yield a missing or wrong table, or missing images of the triplets that are used."""
        root = self.config.root
        if not (root / "data.csv").is_file():
            yield f'root = "{root}": data.csv not found. Get it: {SOURCE}'
            return
        try:
            names = {name for column in IMAGE_COLUMNS for name in self._columns.texts(column)}
            for split in SPLITS:
                self._select(split)
        except DataError as error:
            yield str(error)
            return
        if missing := missing_files(root, names):
            yield (
                f'root = "{root}": {len(missing):,} of {len(names):,} images are missing: '
                f"{list_some(missing)}. Unpack all of {SOURCE} there"
            )

    def load(self, split: Split) -> Triplets:
        """Return the triplets of a split with enough votes; DataError for a wrong table or an empty split."""
        columns = self._select(split)
        left, right = columns.numbers("left_vote"), columns.numbers("right_vote")
        unvoted = np.flatnonzero(left + right == 0)
        if unvoted.size:
            raise columns.error(unvoted[0], "no votes (left_vote and right_vote are both 0)")
        images = index_images([columns.coded(name) for name in IMAGE_COLUMNS])
        votes = right / (left + right), columns.counts("votes")
        known = set(self._columns.texts("ref_path"))
        if self._raw_columns is not None:
            known.update(self._raw_columns.texts("ref_path"))
        place = {name: i for i, name in enumerate(sorted(known))}
        group = np.array([place[name] for name in columns.texts("ref_path")], dtype=np.int64)
        named = NamedTriplets(images.names, images.index, *votes, group)
        return named.triplets(partial(stimuli_in, columns.path.parent))

    @cached_property
    def _columns(self) -> Columns:
        return self._read(self.config.root / "data.csv", "split")

    @cached_property
    def _raw_columns(self) -> Columns | None:
        folder = self.config.unfiltered
        return self._read(folder / "nights_raw.csv") if folder else None

    def _read(self, path: Path, *more: str) -> Columns:
        """Return the rows of a table with enough votes."""
        columns = read_table(path)
        columns.require([*IMAGE_COLUMNS, "left_vote", "right_vote", "votes", *more])
        return columns.select(columns.counts("votes") >= self.config.min_votes)

    def _select(self, split: Split) -> Columns:
        """Return the rows of a split with enough votes; `train` may be of the unfiltered set."""
        columns, raw = self._columns, self._raw_columns
        if split == "train" and raw is not None:
            path = self.config.root / "data.csv"
            references, splits = (read_table(path).texts(name) for name in ("ref_path", "split"))
            held_out = {r for r, s in zip(references, splits, strict=True) if s != "train"}
            mask = np.array([r not in held_out for r in raw.texts("ref_path")], dtype=bool)
            columns, others = raw, f"outside val and test of {path}"
        else:
            mask = np.array([value == split for value in columns.texts("split")], dtype=bool)
            if split == "test" and self.config.test_subset != "all":
                mask &= columns.booleans("is_imagenet") == (self.config.test_subset == "imagenet")
            known = ", ".join(sorted(set(columns.texts("split")))) or "none"
            others = f"in split '{split}'; splits with such rows: {known}"
        if not mask.any():
            raise DataError(f"{columns.path}: no rows with {self.config.min_votes} votes or more {others}")
        return columns.select(mask)
