"""CIFAR-10H (`cifar10h`): about 51 human labels for each test image of CIFAR-10."""

# M = 10,000 images, C = 10 classes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np

from perceptinit.configs import NEUTRAL, NonNegativeInt, PositiveInt, Share
from perceptinit.errors import DataError, problems_of
from perceptinit.files.downloads import Download
from perceptinit.files.reading import read_npy
from perceptinit.judgments.forms.drawing import DerivedAnswers, TripletDraw, Votes, draw_triplets
from perceptinit.judgments.forms.splits import Conventions, split_names
from perceptinit.judgments.image_files import read_labelled_parquet
from perceptinit.types import DataCard, ImageSource, Split, Stimuli, Triplets, raise_first

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
RECORD_BYTES = 1 + 3 * 32 * 32
# share of majority labels that equal the official label: 0.992, or 0.1 if the order is wrong
MIN_AGREEMENT = 0.9


@dataclass(eq=False)
class Cifar10H(DerivedAnswers):
    """Triplets of CIFAR-10 test images from human labels.

    The folder contains the counts, int64 (10000, 10) in the order of the test set, and the images:
    `test_batch.bin` of the binary version, or a Parquet file with columns `image` and `label` in the original
    order. The closeness of an image to the anchor is the probability that random human labels of the two are
    equal. Splits are by image.

    These images are the test set of CIFAR-10: do not evaluate on CIFAR-10 after training on them.
    """

    name = "cifar10h"
    conventions: ClassVar[Conventions] = Conventions(
        index_base="0, in the original order of the CIFAR-10 test set",
        sides="randomized by seed",
        direction="larger counts: more people gave that label",
        ties="differences below min_gap form no triplet; votes are soft shares",
        winner_first="no",
    )
    card: ClassVar[DataCard] = DataCard(
        title="CIFAR-10H: 511,000 human labels of the 10,000 test images of CIFAR-10",
        source_url="https://github.com/jcpeterson/cifar-10h",
        license="CC BY-NC-SA 4.0",
        citation="Peterson, Battleday, Griffiths and Russakovsky (2019). Human uncertainty makes "
        "classification more robust. ICCV",
        num_judgments=511_000,
        size_bytes=171_000_000,
        checked="47 to 63 labels per image; 0.952 of all labels and 0.992 of the majority labels are the "
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
        root: Annotated[Path, NEUTRAL]
        """The folder of counts and images."""
        counts: str = "cifar10h-counts.npy"
        """File of the counts, relative to root."""
        images: Annotated[str, NEUTRAL] = "cifar-10-batches-bin/test_batch.bin"
        """File of the images, relative to root, .bin or .parquet."""
        per_anchor: PositiveInt = 10
        """Maximum number of triplets per anchor."""
        min_gap: Share = 0.2
        """Minimum difference in closeness between two candidates, a probability."""
        min_disagreement: Share = 0.0
        """Minimum share of people who disagree with the majority on an anchor; 0 uses all anchors."""
        val_share: Share = 0.1
        """Share of the images in `val`."""
        test_share: Share = 0.2
        """Share of the images in `test`."""
        seed: NonNegativeInt = 0
        """Seed of splits and triplets. Independent of the run's seed: all runs share them."""

    config: Config

    def preflight(self) -> Iterator[str]:
        """Yield the first problem of the counts, the images or their order."""
        return problems_of(lambda: self._data)

    def load(self, split: Split) -> Triplets:
        """Return the triplets of a split; DataError for missing or invalid files, or an empty split."""
        c, (counts, stimuli) = self.config, self._data
        members = np.flatnonzero(split_names(stimuli.ids, c, self.name) == split).tolist()
        if not members:
            raise DataError(f"root = \"{c.root}\": no images in split '{split}'")
        draw = TripletDraw(self.name, c.per_anchor, c.min_gap, c.seed)
        return triplets_from_label_counts(counts, stimuli, members, c.min_disagreement, draw)

    @cached_property
    def _data(self) -> tuple[np.ndarray, Stimuli]:
        """The counts (M, C) and the images."""
        root = self.config.root
        counts_path = root / self.config.counts
        images_path = root / self.config.images
        for path in (counts_path, images_path):
            if not path.is_file():
                raise DataError(
                    f'root = "{root}": {path.name} not found. Download it with: perceptinit data download '
                    f"cifar10h --out {root}"
                )
        counts = np.array(read_npy(counts_path))
        images, labels = _read_photographs(images_path)
        if counts.shape != (len(images), len(CLASSES)):
            raise DataError(f'root = "{root}": counts of shape {counts.shape} for {len(images)} images')
        agreement = float((counts.argmax(axis=1) == labels).mean())
        if agreement < MIN_AGREEMENT:
            raise DataError(
                f'root = "{root}": label counts and images are in different orders: the '
                f"majority label is the official one for {agreement:.1%} of the images"
            )
        return counts, Stimuli(tuple(f"test-{i:05d}" for i in range(len(images))), images)


def _read_photographs(path: Path) -> tuple[list[ImageSource], np.ndarray]:
    """Return the images and their official labels, (M,)."""
    if path.suffix == ".parquet":
        images, column = read_labelled_parquet(path, "image", "label")
        labels = np.array(column, dtype=np.int64)
    else:
        data = np.fromfile(path, dtype=np.uint8)
        if not len(data) or len(data) % RECORD_BYTES:
            raise DataError(f"{path}: {len(data):,} bytes, not a multiple of {RECORD_BYTES:,}")
        records = data.reshape(-1, RECORD_BYTES)
        pixels = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        images = list(np.ascontiguousarray(pixels))
        labels = records[:, 0].astype(np.int64)
    raise_first((labels < 0) | (labels >= len(CLASSES)), "label out of range", f"{path}: zero-based record")
    return images, labels


def label_shares(counts: np.ndarray, source: str) -> np.ndarray:
    """Return the share of people who gave each label, float64 (M, C); rows sum to 1.

    Raises:
        DataError: If `counts` are not integers (M, C), or a row has a negative count or no labels.
    """
    counts = np.asarray(counts)
    if counts.ndim != 2 or counts.dtype.kind not in "iu":
        raise DataError(f"{source}: expected integers (images, classes), got {counts.dtype} {counts.shape}")
    raise_first((counts < 0).any(axis=1), "negative counts", f"{source}: zero-based row")
    raise_first(counts.sum(axis=1) == 0, "no labels", f"{source}: zero-based row")
    return counts / counts.sum(axis=1, keepdims=True)


def same_label_share(shares: np.ndarray, image: int) -> np.ndarray:
    """Return the probability that random human labels of `image` and each image are equal, float64 (M,)."""
    return shares @ shares[image]


def triplets_from_label_counts(
    counts: np.ndarray, stimuli: Stimuli, members: Sequence[int], min_disagreement: float, draw: TripletDraw
) -> Triplets:
    """Sample triplets of images from human labels.

    Closeness is the probability that random human labels of two images are equal. The share of votes
    follows Luce's choice rule, s_second / (s_first + s_second).

    Args:
        counts: Number of people who gave each label, integers (M, C).
        stimuli: The M images.
        members: Indices of the images to use, so that splits share none.
        min_disagreement: Minimum share of people who disagree with the majority on an anchor.
        draw: Sampling settings; `min_gap` is a difference in closeness, in [0, 1].

    Raises:
        DataError: If no triplet qualifies.
    """
    shares = label_shares(counts, draw.source)
    totals = np.asarray(counts).sum(axis=1)
    # rounding: 1 - 0.8 < 0.2
    anchors = [i for i in members if 1 - shares[i].max() >= min_disagreement - 1e-9]

    def votes_of(anchor: int, first: np.ndarray, second: np.ndarray) -> Votes:
        s_first = shares[first] @ shares[anchor]
        s_second = shares[second] @ shares[anchor]
        return s_second / (s_first + s_second), np.minimum(totals[first], totals[second])

    return draw_triplets(
        stimuli, anchors, lambda anchor: -same_label_share(shares, anchor), votes_of, draw, members
    )
