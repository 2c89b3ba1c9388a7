"""Judged images of the studies of stage 1: materials, photographs of CIFAR-10H, and photographs with simulated answers.

Each set has numbered splits into judgments that train and judgments of other images. The splits of materials are random
choices of 60 of its 100 images, so they overlap. Those of CIFAR-10H have no photograph in common, and none of the
500 photographs that score networks which were trained on materials.
"""

# N judgments, M images, S side of an image
from __future__ import annotations

import io
import itertools
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from perceptinit import build
from perceptinit.types import Stimuli, Triplets

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NUM_TRAINING = 60  # images of a split
# photographs of CIFAR-10H, in a random order: the common 500, then those of each split
NUM_COMMON, NUM_COMMON_TRIPLETS = 500, 60_000
NUM_UNSEEN = 390
NUM_TRAINING_TRIPLETS, NUM_UNSEEN_TRIPLETS = 6_000, 20_000
MIN_DIFFERENCE = 0.1  # of the closeness of the two candidates
LAYOUT = 4  # simulated answers compare the mean colors of 4 x 4 tiles
NUM_SIMULATED_VOTES = 5

Parts = tuple[Triplets, Triplets, Sequence[Image.Image]]


@dataclass(frozen=True, slots=True)
class JudgedSet:
    """A set of judged images.

    Attributes:
        triplets: The judgments that score networks which were trained on another set.
        pictures: Their images.
        split: Returns the training judgments, the judgments of other images, and the images of a split by its number.
    """

    triplets: Triplets
    pictures: Sequence[Image.Image]
    split: Callable[[int], Parts]

    def judged(self, number: int, size: int) -> tuple[Judged, Judged]:
        """Return the training judgments of a split and those of other images, with images of `size` pixels."""
        train, unseen, pictures = self.split(number)
        return Judged.of(train, pictures, size), Judged.of(unseen, pictures, size)


@dataclass(frozen=True, slots=True)
class Judged:
    """Judgments and their images, for code that does not use the package.

    Attributes:
        triplets: The judgments for `apply_perceptual_init`.
        images: Normalized pixels of the judged images, float32 (M, 3, S, S).
        places: Rows of `images` of anchor, first and second candidate, int64 (3, N).
        p_second: Share of votes for the second candidate, float32 (N,).
        votes: Number of votes, float32 (N,).
    """

    triplets: Triplets
    images: torch.Tensor
    places: np.ndarray
    p_second: np.ndarray
    votes: np.ndarray

    @classmethod
    def of(cls, triplets: Triplets, pictures: Sequence[Image.Image], size: int) -> Judged:
        roles = np.stack([triplets.anchor, triplets.first, triplets.second])
        used, places = np.unique(roles, return_inverse=True)
        arrays = [np.asarray(pictures[row].resize((size, size), Image.Resampling.BICUBIC)) for row in used]
        pixels = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2) / 255
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
        votes = triplets.num_votes.astype(np.float32)
        return cls(triplets, (pixels - mean) / std, places.reshape(3, -1), triplets.p_second, votes)


def load(data: Path) -> dict[str, JudgedSet]:
    """Return the sets of the study from the folder of sets."""
    return {"materials": load_materials(data / "materials"), "cifar10h": load_cifar10h(data / "cifar10h")}


def load_materials(folder: Path) -> JudgedSet:
    """Return all judgments of materials (Lagunas et al. 2019)."""
    source: Any = build("judgments", {"use": "materials", "root": str(folder)})
    parts = [source.load(name) for name in ("train", "val", "test")]
    stimuli = parts[0].stimuli
    roles = [
        np.concatenate([getattr(part, role) for part in parts]) for role in ("anchor", "first", "second")
    ]
    shares = np.concatenate([part.p_second for part in parts])
    votes = np.concatenate([part.num_votes for part in parts])
    pictures = [Image.open(path).convert("RGB") for path in stimuli.images]
    triplets = Triplets.build(stimuli, *roles, shares, votes)
    return JudgedSet(triplets, pictures, lambda number: (*divide(triplets, NUM_TRAINING, number), pictures))


def load_cifar10h(folder: Path) -> JudgedSet:
    """Return triplets of photographs: two are as close as two random people's labels of them are often equal."""
    import pyarrow.parquet as pq

    counts = np.load(folder / "human_counts.npy", allow_pickle=False).astype(np.float64)
    shares = counts / counts.sum(1, keepdims=True)
    encoded = pq.read_table(folder / "test.parquet", columns=["image"])["image"]
    order = np.random.default_rng(0).permutation(len(counts))

    def pictures_of(rows: np.ndarray) -> list[Image.Image]:
        return [Image.open(io.BytesIO(data)).convert("RGB") for data in encoded.take(rows).to_pylist()]

    def split(number: int) -> Parts:
        start = NUM_COMMON + number * (NUM_TRAINING + NUM_UNSEEN)
        rows = order[start : start + NUM_TRAINING + NUM_UNSEEN]
        if number < 0 or len(rows) < NUM_TRAINING + NUM_UNSEEN:
            raise ValueError(f"CIFAR-10H has no split {number}: its photographs suffice for 0 to 20")
        pictures = pictures_of(rows)
        closeness = shares[rows] @ shares[rows].T
        rng = np.random.default_rng([1, number])
        groups = np.split(np.arange(len(rows)), [NUM_TRAINING])
        sizes = (NUM_TRAINING_TRIPLETS, NUM_UNSEEN_TRIPLETS)
        parts = [draw(closeness, pictures, *each, rng) for each in zip(groups, sizes, strict=True)]
        return parts[0], parts[1], pictures

    rows = np.sort(order[:NUM_COMMON])
    pictures = pictures_of(rows)
    closeness = shares[rows] @ shares[rows].T
    rng = np.random.default_rng(0)
    rng.permutation(len(counts))
    common = draw(closeness, pictures, np.arange(len(rows)), NUM_COMMON_TRIPLETS, rng)
    return JudgedSet(common, pictures, split)


def draw(
    closeness: np.ndarray,
    pictures: Sequence[Image.Image],
    chosen: np.ndarray,
    num: int,
    rng: np.random.Generator,
) -> Triplets:
    """Return random triplets of chosen images whose candidates differ in their closeness to the anchor.

    Args:
        closeness: Closeness of each two images, (M, M), at least 0.
        pictures: All images.
        chosen: Rows of the images to draw from.
        num: Number of triplets, at most.
        rng: Random numbers.
    """
    drawn = chosen[rng.integers(len(chosen), size=(3, 4 * num))]
    distinct = (drawn[0] != drawn[1]) & (drawn[0] != drawn[2]) & (drawn[1] != drawn[2])
    first, second = (closeness[drawn[0], drawn[role]] for role in (1, 2))
    kept = np.flatnonzero(distinct & (abs(first - second) > MIN_DIFFERENCE))[:num]
    p_second = second[kept] / (first + second)[kept]
    return as_triplets(pictures, drawn[:, kept], p_second, 50)


def load_photographs(file: Path) -> JudgedSet:
    """Return photographs of a tar file with simulated answers: people compare the colors of 4 x 4 tiles."""
    with tarfile.open(file) as archive:
        members = [member for member in archive.getmembers() if member.name.endswith(".jpg")]
        pictures = [Image.open(archive.extractfile(member)).convert("RGB") for member in members]  # type: ignore[arg-type]
    tiles = np.stack(
        [np.asarray(picture.resize((LAYOUT, LAYOUT), Image.Resampling.BOX)) for picture in pictures]
    )
    colors = tiles.reshape(len(tiles), -1).astype(np.float64)
    distance = np.linalg.norm(colors[:, None] - colors[None], axis=2)

    def split(number: int) -> Parts:
        rng = np.random.default_rng([2, number])
        groups = np.split(rng.permutation(len(pictures)), [NUM_TRAINING])
        sizes = (NUM_TRAINING_TRIPLETS, NUM_UNSEEN_TRIPLETS)
        parts = [answer(distance, pictures, *each, rng) for each in zip(groups, sizes, strict=True)]
        return parts[0], parts[1], pictures

    everything = answer(
        distance, pictures, np.arange(len(pictures)), NUM_UNSEEN_TRIPLETS, np.random.default_rng(0)
    )
    return JudgedSet(everything, pictures, split)


def answer(
    distance: np.ndarray,
    pictures: Sequence[Image.Image],
    chosen: np.ndarray,
    num: int,
    rng: np.random.Generator,
) -> Triplets:
    """Return random triplets of chosen images, each with votes of simulated people who compare noisy distances."""
    drawn = chosen[rng.permuted(np.tile(np.arange(len(chosen)), (num, 1)), axis=1)[:, :3].T]
    lead = distance[drawn[0], drawn[1]] - distance[drawn[0], drawn[2]]
    p_second = 1 / (1 + np.exp(-3 * lead / lead.std()))
    votes = rng.binomial(NUM_SIMULATED_VOTES, p_second)
    return as_triplets(pictures, drawn, votes / NUM_SIMULATED_VOTES, NUM_SIMULATED_VOTES)


def make_tiny() -> JudgedSet:
    """Return judgments of the colors of 12 plain pictures."""
    rng = np.random.default_rng(0)
    colors = rng.integers(256, size=(12, 3))
    pictures = [Image.new("RGB", (8, 8), tuple(map(int, color))) for color in colors]
    roles = np.array(list(itertools.permutations(range(12), 3))).T
    distance = np.linalg.norm(colors[:, None] - colors[None], axis=2)
    nearer = distance[roles[0], roles[2]] < distance[roles[0], roles[1]]
    triplets = as_triplets(pictures, roles, nearer.astype(np.float32), 50)
    return JudgedSet(triplets, pictures, lambda number: (*divide(triplets, 6, number), pictures))


def as_triplets(
    pictures: Sequence[Image.Image], roles: np.ndarray, p_second: np.ndarray, num_votes: int
) -> Triplets:
    arrays = [np.asarray(picture) for picture in pictures]
    stimuli = Stimuli(tuple(f"{row:05d}" for row in range(len(arrays))), arrays)
    return Triplets.build(stimuli, *roles, p_second, num_votes)


def divide(triplets: Triplets, num_training: int, seed: int) -> tuple[Triplets, Triplets]:
    """Return the judgments within randomly chosen training images, and those within the other images."""
    order = np.random.default_rng(seed).permutation(len(triplets.stimuli))
    roles = np.stack([triplets.anchor, triplets.first, triplets.second])
    is_training = np.isin(roles, order[:num_training])
    return triplets.select(is_training.all(0)), triplets.select(~is_training.any(0))


def judge(
    name: str, number: int, sets: Mapping[str, JudgedSet], size: int
) -> tuple[Judged, dict[str, Judged]]:
    """Return the training judgments of a split, and the judgments that score it by the name of their set."""
    train, unseen = sets[name].judged(number, size)
    others = {
        other: Judged.of(each.triplets, each.pictures, size) for other, each in sets.items() if other != name
    }
    return train, {name: unseen, **others}
