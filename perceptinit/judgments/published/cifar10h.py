"""CIFAR-10H (`cifar10h`): labels of about 51 people for each test photograph of CIFAR-10."""

from __future__ import annotations

# M = 10,000 photographs, C = 10 classes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from perceptinit.configs import NonNegativeInt, PositiveInt, Share
from perceptinit.errors import DataError, problems_of
from perceptinit.files.downloads import Download
from perceptinit.judgments.ceilings import DerivedAnswers
from perceptinit.judgments.forms.conventions import Conventions
from perceptinit.judgments.forms.drawing import TripletDraw, Votes, draw_triplets
from perceptinit.judgments.forms.splits import split_names
from perceptinit.judgments.image_files import read_labelled_parquet
from perceptinit.types import DataCard, ImageSource, Split, Stimuli, Triplets

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
RECORD_BYTES = 1 + 3 * 32 * 32
# people's majority is the official label for 0.992 of the photographs; in a wrong order, for 0.1
MIN_AGREEMENT = 0.9


class Cifar10H(DerivedAnswers):
    """Triplets of CIFAR-10 test photographs from the labels that people gave them.

    The folder holds the counts, int64 (10000, 10) in the order of the test set, and the photographs:
    `test_batch.bin` of the binary version, or a Parquet file with columns `image` and `label` in the
    original order. A photograph is as close to the anchor as it is likely that two people give the
    two one label. Photographs, not rows, are dealt to splits.

    These photographs are the test set of CIFAR-10: do not score zero-shot on CIFAR-10 after training
    on them.
    """

    name = "cifar10h"
    conventions: ClassVar[Conventions] = Conventions(
        index_base="0, the place in the original order of the CIFAR-10 test set",
        sides="drawn, by seed",
        direction="larger counts: more people gave that label",
        ties="candidates nearer than min_gap make no triplet; votes are soft shares",
        winner_first="no",
    )
    card: ClassVar[DataCard] = DataCard(
        title="CIFAR-10H: 511,000 human labels of the 10,000 test photographs of CIFAR-10",
        source_url="https://github.com/jcpeterson/cifar-10h",
        licence="CC BY-NC-SA 4.0",
        citation="Peterson, Battleday, Griffiths and Russakovsky (2019). Human uncertainty makes "
        "classification more robust. ICCV",
        num_judgments=511_000,
        size_bytes=171_000_000,
        checked="47 to 63 labels a photograph; 0.952 of all labels, and 0.992 of the majorities, are the "
        "official ones",
    )
    downloads: ClassVar[tuple[Download, ...]] = (
        Download(
            urls=("https://raw.githubusercontent.com/jcpeterson/cifar-10h/master/data/cifar10h-counts.npy",),
            path="cifar10h-counts.npy",
        ),
        Download(
            urls=(
                "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
                "https://cave.cs.toronto.edu/kriz/cifar-10-binary.tar.gz",
            ),
            path="cifar-10-binary.tar.gz",
            sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            num_bytes=170_052_171,
            unpack=True,
        ),
    )

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        root: Path
        """The folder of counts and photographs."""
        counts: str = "cifar10h-counts.npy"
        """File of the counts, relative to root."""
        images: str = "cifar-10-batches-bin/test_batch.bin"
        """File of the photographs, relative to root: .bin or .parquet."""
        per_anchor: PositiveInt = 10
        """Most triplets of one anchor."""
        min_gap: Share = 0.2
        """Smallest difference of the candidates' chances to get the anchor's label."""
        min_disagreement: Share = 0.0
        """Use anchors on which this share of people, or more, depart from the majority; 0 uses all."""
        val_share: Share = 0.1
        """Share of the photographs that become `val`."""
        test_share: Share = 0.2
        """Share of the photographs that become `test`."""
        seed: NonNegativeInt = 0
        """Names the draws of splits and triplets. Not the run's seed: all runs share them."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def preflight(self) -> Iterator[str]:
        """Yield what is missing or wrong: counts, photographs, their order."""
        return problems_of(self._check_order)

    def load(self, split: Split) -> Triplets:
        """Return the triplets of a split; DataError for absent or wrong files, or an empty split."""
        self._check_order()
        c = self.config
        splits = split_names(self._stimuli.ids, c, self.name)
        members = np.flatnonzero(splits == split).tolist()
        if not members:
            raise DataError(f"root = \"{c.root}\": no photographs in split '{split}'")
        draw = TripletDraw(self.name, c.per_anchor, c.min_gap, c.seed)
        return triplets_from_label_counts(self._counts, self._stimuli, members, c.min_disagreement, draw)

    @cached_property
    def _counts(self) -> np.ndarray:
        path = self.config.root / self.config.counts
        self._require(path)
        try:
            return np.load(path, allow_pickle=False)
        except ValueError as error:
            raise DataError(f"{path}: not a readable .npy file of numbers ({error})") from error

    @cached_property
    def _photographs(self) -> tuple[list[ImageSource], np.ndarray]:
        """Return images and official labels (M,)."""
        path = self.config.root / self.config.images
        self._require(path)
        if path.suffix != ".parquet":
            return _read_binary(path)
        images, labels = read_labelled_parquet(path, "image", "label")
        return images, _check_labels(path, np.array(labels, dtype=np.int64))

    @cached_property
    def _stimuli(self) -> Stimuli:
        images, labels = self._photographs
        ids = tuple(f"test-{i:05d}" for i in range(len(images)))
        return Stimuli(ids, images, tuple(CLASSES[label] for label in labels))

    def _check_order(self) -> None:
        counts, (images, labels) = self._counts, self._photographs
        if counts.shape != (len(images), len(CLASSES)):
            raise DataError(
                f'root = "{self.config.root}": counts of shape {counts.shape} for {len(images)} photographs'
            )
        agreement = float((counts.argmax(axis=1) == labels).mean())
        if agreement < MIN_AGREEMENT:
            raise DataError(
                f'root = "{self.config.root}": people\'s majority is the official label for {agreement:.1%} of '
                "the photographs: counts and photographs are in different orders"
            )

    def _require(self, path: Path) -> None:
        if not path.is_file():
            raise DataError(
                f'root = "{self.config.root}": no {path.name} there. Get it: '
                f"perceptinit data download cifar10h --out {self.config.root}"
            )


def _read_binary(path: Path) -> tuple[list[ImageSource], np.ndarray]:
    data = np.fromfile(path, dtype=np.uint8)
    if not len(data) or len(data) % RECORD_BYTES:
        raise DataError(f"{path}: {len(data):,} bytes are no whole number of records of {RECORD_BYTES:,}")
    records = data.reshape(-1, RECORD_BYTES)
    pixels = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return list(np.ascontiguousarray(pixels)), _check_labels(path, records[:, 0].astype(np.int64))


def _check_labels(path: Path, labels: np.ndarray) -> np.ndarray:
    bad = np.flatnonzero((labels < 0) | (labels >= len(CLASSES)))
    if bad.size:
        raise DataError(f"{path}: record {bad[0]} (from 0) has label {labels[bad[0]]}")
    return labels


def label_shares(counts: np.ndarray, source: str) -> np.ndarray:
    """Return the share of people who gave each label, float64 (M, C); rows sum to 1.

    counts: whole numbers (M, C). Raises DataError, naming the row, for negative counts and a row
    without labels.
    """
    counts = np.asarray(counts)
    if counts.ndim != 2 or counts.dtype.kind not in "iu":
        raise DataError(
            f"{source}: expected whole numbers (images, classes), got {counts.dtype} {counts.shape}"
        )
    for bad, what in (
        ((counts < 0).any(axis=1), "negative counts"),
        (counts.sum(axis=1) == 0, "no labels"),
    ):
        if bad.any():
            raise DataError(f"{source}: row {int(np.argmax(bad))} (from 0): {what}")
    return counts / counts.sum(axis=1, keepdims=True)


def same_label_share(shares: np.ndarray, image: int) -> np.ndarray:
    """Return the chance that two people, one looking at `image`, give one label, float64 (M,)."""
    return shares @ shares[image]


def triplets_from_label_counts(
    counts: np.ndarray,
    stimuli: Stimuli,
    members: Sequence[int],
    min_disagreement: float,
    draw: TripletDraw,
) -> Triplets:
    """Return triplets of the images at `members`; no other image occurs, so splits share none.

    An image is as close to the anchor as it is likely that two people give the two one label. The
    share of votes is that of Luce's choice rule, s_second / (s_first + s_second). Candidates whose
    closeness differs by less than the draw's `min_gap`, in [0, 1], are no pair. Anchors on whose label fewer
    than `min_disagreement` of the people depart from the majority are left out.

    Raises DataError when nothing is left.
    """
    shares, totals = label_shares(counts, draw.source), np.asarray(counts).sum(axis=1)
    # the tolerance: 1 - 0.8 is a little less than 0.2 in floating point
    anchors = [i for i in members if 1 - shares[i].max() >= min_disagreement - 1e-9]

    def votes_of(anchor: int, first: np.ndarray, second: np.ndarray) -> Votes:
        s_first, s_second = shares[first] @ shares[anchor], shares[second] @ shares[anchor]
        return s_second / (s_first + s_second), np.minimum(totals[first], totals[second])

    return draw_triplets(
        stimuli,
        anchors,
        lambda anchor: -same_label_share(shares, anchor),
        votes_of,
        draw,
        members,
    )
