"""Bounds of a score on judgments: how often trivial models and other people agree with people."""

# N judgments, U images, D features, A possible answers
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image

from perceptinit.grouping import group
from perceptinit.images.background import flatten
from perceptinit.images.encoded import pixels_of
from perceptinit.judgments.controls.wrappers import source_of
from perceptinit.judgments.forms.odd_one_out import PAIRS, OddOneOut, odd_one_out_agreement
from perceptinit.judgments.image_files import are_without_files
from perceptinit.judgments.scoring import MIN_UNITS, HeldOutError, Weighting, agreement, held_out_error
from perceptinit.protocols import HasNoiseCeiling, Judgments
from perceptinit.seeding import generator
from perceptinit.types import Split, Stimuli, Triplets

# models of records since 0.2; earlier records lack some of them
STRONG = ("centered gray 32 x 32", "gradient orientations", "color histogram")
SIZE = 32
ROUNDING = 1e-2  # of lengths of features; one pixel that differs by a level gives 0.1
NUM_ORIENTATIONS = 8
NUM_LEVELS = 4  # of each color channel in a histogram
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
# (channels, kernel size, stride) of each layer of the random network
LAYERS = ((32, 5, 2), (64, 3, 2), (128, 3, 1))
BATCH_SIZE = 32
# maximum number of images for a full distance matrix: 128 MiB in float64
MAX_SQUARE = 4096
CHUNK = 4096
MAX_KEPT = 32  # results; judgments are compared by identity, so models, arms and seeds share them
Bounds = tuple[float, float]

# Minimum number of votes for a ceiling, counting only questions with at least two votes. The standard error
# of a share of 100 votes is at most 0.05.
MIN_VOTES = 100


@dataclass(frozen=True, slots=True)
class Baseline:
    """The score of a trivial model on a set of judgments.

    error: Error of the score. values: score of each judgment, shape (N,), if computed.
    """

    name: str
    value: float
    error: HeldOutError
    values: np.ndarray | None = field(default=None, compare=False, repr=False)

    @property
    def stderr(self) -> float | None:
        """Return the standard error of the score; None for few units."""
        return self.error.stderr

    @property
    def interval(self) -> tuple[float, float] | None:
        """Return the 95 % confidence interval; None for few units."""
        return self.error.interval(self.value)

    @property
    def text(self) -> str:
        """Return the score with its interval: `0.651 [0.631, 0.671]`."""
        if self.interval is None:
            return f"{self.value:.3f}" + (f" ({self.error.missing})" if self.error.missing else "")
        return f"{self.value:.3f} [{self.interval[0]:.3f}, {self.interval[1]:.3f}]"


def as_extra(baselines: Sequence[Baseline]) -> dict[str, Any]:
    """Return baselines in the format of `Score.extra`."""
    return {"baselines": {b.name: {"value": b.value, "stderr": b.stderr} for b in baselines}}


def values_of(baselines: Sequence[Baseline]) -> dict[str, np.ndarray]:
    """Return the per-judgment scores of each baseline, by name, as in `Items.baselines`."""
    return {b.name: b.values for b in baselines if b.values is not None}


def from_extra(extra: Mapping[str, Any], are_correlations: bool = False) -> tuple[Baseline, ...]:
    """Return the baselines stored in `Score.extra`, whose scores may be correlations instead of shares."""
    stated = extra.get("baselines") or {}
    unit = extra.get("held_out", "anchor")
    # records of earlier versions contain the number of anchors only
    num_units = extra.get("num_units", extra.get("num_anchors") if unit == "anchor" else None)
    is_few = num_units is not None and num_units < MIN_UNITS
    found = []
    for name, b in stated.items():
        stderr = None if is_few else b["stderr"]
        error = HeldOutError(stderr, num_units, unit, is_correlation=are_correlations)
        found.append(Baseline(name, b["value"], error))
    return tuple(found)


@lru_cache(MAX_KEPT)
def two_afc_baselines(
    triplets: Triplets, weighting: Weighting = "votes", num_workers: int = 2
) -> tuple[Baseline, ...]:
    """Return the 2AFC score of each baseline; DataError for an image that cannot be decoded."""
    return baselines_of_splits([triplets], weighting, num_workers)[0]


def baselines_of_splits(
    splits: Sequence[Triplets], weighting: Weighting = "votes", num_workers: int = 2
) -> list[tuple[Baseline, ...]]:
    """Return `two_afc_baselines` of each split. Splits with the same images share their features."""
    sharing = group((tuple(triplets.used_names), i) for i, triplets in enumerate(splits))
    found: list[list[Baseline]] = [[] for _ in splits]
    for numbers in sharing.values():
        of_images = [splits[i] for i in numbers]
        places = [np.searchsorted(t.used, t.roles) for t in of_images]
        pairs = [(anchor, other) for anchor, *others in places for other in others]
        features = describe_images(of_images[0].stimuli, of_images[0].used, num_workers)
        for name, points in features.items():
            apart = distances(points, *pairs)
            for k, i in enumerate(numbers):
                values = agreement(apart[2 * k], apart[2 * k + 1], splits[i].p_second)
                found[i].append(_score(name, values, splits[i], places[k][0], weighting))
    return [tuple(baselines) for baselines in found]


def _score(name: str, values: np.ndarray, t: Triplets, anchor: np.ndarray, weighting: Weighting) -> Baseline:
    weights = t.num_votes if weighting == "votes" else None
    error = held_out_error(values, t.unit, anchor, t.group, t.roles, weights)
    return Baseline(name, float(np.average(values, weights=weights)), error, values)


@lru_cache(MAX_KEPT)
def odd_one_out_baselines(judgments: OddOneOut, num_workers: int = 2) -> tuple[Baseline, ...]:
    """Return the odd-one-out score of each baseline; DataError for an image that cannot be decoded."""
    images = judgments.images.T
    used, places = np.unique(images, return_inverse=True)
    places = places.reshape(images.shape)
    weights = judgments.votes.sum(axis=1)
    found = []
    for name, points in describe_images(judgments.stimuli, used, num_workers).items():
        pairs = distances(points, *((places[a], places[b]) for a, b in PAIRS))
        values = odd_one_out_agreement(-np.stack(pairs, axis=1), judgments.votes)
        error = held_out_error(values, judgments.unit, None, judgments.group, images, weights)
        found.append(Baseline(name, float(np.average(values, weights=weights)), error, values))
    return tuple(found)


def describe_images(stimuli: Stimuli, used: np.ndarray, num_workers: int = 2) -> Mapping[str, np.ndarray]:
    """Return the image features of each baseline, by name, float32 (U, D).

    Images are resized to 32 x 32, ignoring the aspect ratio. Pixel features are all pixels, or the means of
    2 x 2 blocks, or gray pixels minus their mean. Histograms count orientations of gradients, weighted by
    their magnitude, or colors, as square roots (Hellinger distance). The random network has three
    convolutions with fixed random weights (He et al. 2015). Its features are the spatial means of the last
    layer. These features are scaled to unit length for cosine distances. Mean colors are in [0, 1]. Empty for
    stimuli that are names without images.

    Args:
        stimuli: All images.
        used: Indices of the U images, int64 (U,).
        num_workers: Number of threads that decode images.
    """

    if are_without_files(stimuli):
        return {}

    def decode(index: int) -> np.ndarray:
        seen = flatten(pixels_of(stimuli.images[index], stimuli.ids[index]), stimuli.background)
        return np.asarray(Image.fromarray(seen).resize((SIZE, SIZE), Image.Resampling.BICUBIC))

    batches = np.split(used, range(BATCH_SIZE, len(used), BATCH_SIZE))
    with ThreadPoolExecutor(max(1, num_workers)) as pool:
        parts = [_describe(np.stack(list(pool.map(decode, batch.tolist())))) for batch in batches]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _describe(images: np.ndarray) -> dict[str, np.ndarray]:
    """Return the features of images, uint8 (U, 32, 32, 3); see `describe_images`."""
    pixels = images.astype(np.float32)
    gray = pixels @ np.array(LUMA, np.float32)
    return {
        "pixels 32 x 32": _unit(pixels),
        "pixels 16 x 16": _unit(pixels.reshape(-1, SIZE // 2, 2, SIZE // 2, 2, 3).mean((2, 4))),
        "mean colour": pixels.mean((1, 2)) / 255,
        "random network": _unit(_random_network(pixels)),
        "centered gray 32 x 32": _unit(gray - gray.mean((1, 2), keepdims=True)),
        "gradient orientations": _unit(_count_orientations(gray)),
        "color histogram": _unit(np.sqrt(_count_colors(pixels))),
    }


def _count_orientations(gray: np.ndarray) -> np.ndarray:
    """Return the sums of gradient magnitudes (U, NUM_ORIENTATIONS) of gray images (U, 32, 32)."""
    rows, columns = np.gradient(gray, axis=(1, 2))
    angles = np.arctan2(rows, columns) % np.pi / np.pi
    return _count(angles * NUM_ORIENTATIONS, np.hypot(rows, columns), NUM_ORIENTATIONS)


def _count_colors(pixels: np.ndarray) -> np.ndarray:
    """Return the color histograms (U, NUM_LEVELS ** 3) of images (U, 32, 32, 3) in [0, 255]."""
    levels = pixels // (256 // NUM_LEVELS)
    bins = levels @ np.array([NUM_LEVELS**2, NUM_LEVELS, 1], np.float32)
    return _count(bins, np.ones(pixels.shape[:3]), NUM_LEVELS**3)


def _count(places: np.ndarray, weights: np.ndarray, num: int) -> np.ndarray:
    """Return weighted histograms (U, num) of places (U, 32, 32) in [0, num]."""
    bins = np.minimum(places.astype(np.int64), num - 1)
    pairs = zip(bins.reshape(len(bins), -1), weights.reshape(len(bins), -1), strict=True)
    return np.stack([np.bincount(own, weight, num) for own, weight in pairs])


def _unit(values: np.ndarray) -> np.ndarray:
    """Return rows of unit length (U, D). Rows of rounding errors, as of an image with one color, become 0."""
    flat = values.reshape(len(values), -1)
    norms = np.linalg.norm(flat, axis=1, keepdims=True)
    return flat / np.where(norms > ROUNDING, norms, np.inf)


def _random_network(pixels: np.ndarray) -> np.ndarray:
    """Return features float32 (B, 128) of pixels (B, 32, 32, 3) in [0, 255]."""
    rng = generator(0, "baselines", "random network")
    x = pixels / np.float32(127.5) - 1
    for num_features, side, stride in LAYERS:
        shape = (num_features, x.shape[-1], side, side)
        scale = np.sqrt(2 / np.prod(shape[1:]))
        weights = rng.normal(scale=scale, size=shape).astype(np.float32)
        edge = side // 2
        padded = np.pad(x, ((0, 0), (edge, edge), (edge, edge), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(1, 2))
        windows = windows[:, ::stride, ::stride]  # (B, H, W, input channels, side, side)
        x = np.maximum(np.tensordot(windows, weights, axes=((3, 4, 5), (1, 2, 3))), 0)
    return x.mean((1, 2))


def distances(points: np.ndarray, *pairs: tuple[np.ndarray, np.ndarray]) -> list[np.ndarray]:
    """Return Euclidean distances between rows `a` and `b` of points (U, D), shape (N,), for each (a, b)."""
    if len(points) > MAX_SQUARE:
        return [_between(points, a, b) for a, b in pairs]
    every = points.astype(np.float64)
    products = every @ every.T
    norms = products.diagonal()
    squared = (norms[a] + norms[b] - 2 * products[a, b] for a, b in pairs)
    # rounded, so that equal images tie: the matrix product leaves differences of 1e-8
    return [np.sqrt(np.maximum(values, 0)).round(6) for values in squared]


def _between(points: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    starts = range(0, len(a), CHUNK)
    parts = [np.linalg.norm(points[a[i : i + CHUNK]] - points[b[i : i + CHUNK]], axis=1) for i in starts]
    return np.concatenate(parts)


def ceiling(counts: np.ndarray, weighting: Weighting = "votes") -> Bounds | None:
    """Return how well one person's answer is predicted by the other people's votes, and by all votes.

    The prediction is the majority answer; ties are split equally. The upper bound includes the person's own
    vote, so it is too high if questions have few votes. Questions with one vote are ignored.

    Args:
        counts: Votes for each possible answer, (N, A).
        weighting: Whether votes or judgments have equal weight.

    Returns:
        Lower and upper bound in [0, 1]; None for fewer than `MIN_VOTES` votes.

    Source: the noise ceiling of Nili et al. (2014), with the share of votes instead of correlation.
    """
    votes = np.asarray(counts, dtype=np.float64)
    votes = votes[votes.sum(axis=1) >= 2]
    if votes.sum() < MIN_VOTES:
        return None
    num = votes.sum(axis=1)
    without = np.zeros(len(votes))  # votes that the other votes predict; ties count in part
    for answer in range(votes.shape[1]):
        others = votes.copy()
        others[:, answer] -= 1
        is_most = others == others.max(axis=1, keepdims=True)
        without += votes[:, answer] * (is_most[:, answer] / is_most.sum(axis=1))
    weights = num if weighting == "votes" else None
    lower = without / num
    upper = votes.max(axis=1) / num
    return float(np.average(lower, weights=weights)), float(np.average(upper, weights=weights))


def two_afc_ceiling(triplets: Triplets, weighting: Weighting = "votes") -> Bounds | None:
    """Return the ceiling of 2AFC, from the votes for the two candidates; see `ceiling`."""
    for_second = np.rint(triplets.p_second.astype(np.float64) * triplets.num_votes)
    return ceiling(np.stack([triplets.num_votes - for_second, for_second], axis=1), weighting)


def pair_agreement(triplets: Triplets) -> float | None:
    """Return the probability that two people who judged the same question agree, in [0, 1].

    Questions are weighted by their number of votes. Returns None for fewer than `MIN_VOTES` votes.
    """
    many = triplets.select(triplets.num_votes > 1)
    n = many.num_votes.astype(np.float64)
    if n.sum() < MIN_VOTES:
        return None
    k = np.rint(many.p_second * n)
    agree = (k * (k - 1) + (n - k) * (n - k - 1)) / (n * (n - 1))
    return float(np.average(agree, weights=n))


def ceiling_of_split(
    judgments: Judgments, split: Split, triplets: Triplets, weighting: Weighting = "votes"
) -> Bounds | None:
    """Return the human ceiling of 2AFC on `triplets`, the given split of `judgments`.

    If the judgments define `noise_ceiling`, its result is returned: the votes were used to select the
    triplets, so a ceiling from the same votes would be biased.
    """
    judgments = source_of(judgments, split)
    if isinstance(judgments, HasNoiseCeiling):
        return judgments.noise_ceiling(split)
    return two_afc_ceiling(triplets, weighting)
