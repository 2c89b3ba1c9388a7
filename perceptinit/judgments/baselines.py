"""What hardly looks at the pictures: how often do pixels, the mean colour or random weights side with people?"""

from __future__ import annotations

# N judgments, U images, D numbers that describe an image
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from perceptinit.judgments.ceilings import Weighting
from perceptinit.judgments.forms.odd_one_out import PAIRS, OddOneOut, odd_one_out_agreement
from perceptinit.seeding import generator
from perceptinit.types import Stimuli, Triplets

if TYPE_CHECKING:  # they import torch, which a reader of scores does not need
    import torch

SIZE = 32
Z_95 = 1.96
# (features, side of the kernels, stride) of each layer of the random network
LAYERS = ((32, 5, 2), (64, 3, 2), (128, 3, 1))
BATCH_SIZE = 256
# images up to which all pairs are compared at once: 128 MiB in float64
MAX_SQUARE = 4096
CHUNK = 4096


@dataclass(frozen=True, slots=True)
class Baseline:
    """The score of a trivial model on the judgments of a score; stderr as there, None when it cannot be had."""

    name: str
    value: float
    stderr: float | None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Return the 95 % interval, within [0, 1]."""
        if self.stderr is None:
            return None
        half = Z_95 * self.stderr
        return max(0.0, self.value - half), min(1.0, self.value + half)


def as_extra(baselines: Sequence[Baseline]) -> dict[str, Any]:
    """Return baselines as they stand in the `extra` of a Score."""
    return {"baselines": {b.name: {"value": b.value, "stderr": b.stderr} for b in baselines}}


def from_extra(extra: Mapping[str, Any]) -> tuple[Baseline, ...]:
    """Return the baselines that a score was measured beside."""
    stated = extra.get("baselines") or {}
    return tuple(Baseline(name, b["value"], b["stderr"]) for name, b in stated.items())


def two_afc_baselines(
    triplets: Triplets, weighting: Weighting = "votes", num_workers: int = 2
) -> tuple[Baseline, ...]:
    """Return the 2AFC of each baseline on triplets; DataError for an image that cannot be decoded."""
    from perceptinit.judgments.two_afc import agreement, held_out_stderr

    roles = np.stack([triplets.anchor, triplets.first, triplets.second])
    used, places = np.unique(roles, return_inverse=True)
    anchor, first, second = places.reshape(roles.shape)
    weights = triplets.num_votes if weighting == "votes" else np.ones(len(triplets))
    found = []
    for name, points in descriptions(triplets.stimuli, used, num_workers).items():
        d_first, d_second = distances(points, anchor, first), distances(points, anchor, second)
        values = agreement(d_first, d_second, triplets.p_second)
        stderr = held_out_stderr(values, triplets.unit, anchor, triplets.group, roles, weights)
        found.append(Baseline(name, float(np.average(values, weights=weights)), stderr))
    return tuple(found)


def odd_one_out_baselines(judgments: OddOneOut, num_workers: int = 2) -> tuple[Baseline, ...]:
    """Return the odd-one-out score of each baseline; DataError for an image that cannot be decoded."""
    from perceptinit.judgments.two_afc import held_out_stderr

    used, places = np.unique(judgments.images, return_inverse=True)
    places = places.reshape(judgments.images.shape)
    weights = judgments.votes.sum(axis=1)
    found = []
    for name, points in descriptions(judgments.stimuli, used, num_workers).items():
        pairs = [distances(points, places[:, a], places[:, b]) for a, b in PAIRS]
        values = odd_one_out_agreement(-np.stack(pairs, axis=1), judgments.votes)
        stderr = held_out_stderr(
            values, judgments.unit, None, judgments.group, judgments.images.T, weights
        )
        found.append(Baseline(name, float(np.average(values, weights=weights)), stderr))
    return tuple(found)


def descriptions(
    stimuli: Stimuli, used: np.ndarray, num_workers: int = 2
) -> Mapping[str, np.ndarray]:
    """Return what each baseline knows of the images at `used`: points float32 (U, D) by its name.

    Pixels are the colours of the image squashed to 32 x 32 (and its 2 x 2 means, 16 x 16), compared by
    cosine as embeddings are; mean colours by Euclidean distance. The random network has three layers
    of convolutions with fixed weights (He et al. 2015) and the means of its last features.
    """
    import torch
    from torch.nn import functional as F

    from perceptinit.images.stimuli import StimulusImages

    images = StimulusImages(stimuli, SIZE, num_workers=num_workers, cache_bytes=0)
    batches = [images[used[i : i + BATCH_SIZE]] for i in range(0, len(used), BATCH_SIZE)]
    pixels = torch.cat(batches).float()
    with torch.no_grad():
        network = torch.cat([_random_network(batch) for batch in pixels.split(BATCH_SIZE)])
    return {
        "pixels 32 x 32": _unit(pixels),
        "pixels 16 x 16": _unit(F.avg_pool2d(pixels, 2)),
        "mean colour": pixels.mean(dim=(2, 3)).numpy(),
        "random network": _unit(network),
    }


def _unit(values: torch.Tensor) -> np.ndarray:
    from torch.nn import functional as F

    return F.normalize(values.flatten(1), dim=1).numpy()


def _random_network(pixels: torch.Tensor) -> torch.Tensor:
    """Return features (B, 128) of pixels (B, 3, 32, 32) in 0..255."""
    import torch
    from torch.nn import functional as F

    rng = generator(0, "baselines", "random network")
    x = pixels / 127.5 - 1
    for num_features, side, stride in LAYERS:
        shape = (num_features, x.shape[1], side, side)
        scale = np.sqrt(2 / np.prod(shape[1:]))
        weights = torch.from_numpy(rng.normal(scale=scale, size=shape)).float()
        x = F.relu(F.conv2d(x, weights, stride=stride, padding=side // 2))
    return x.mean(dim=(2, 3))


def distances(points: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return Euclidean distances between rows `a` and `b` of points (U, D), shape (N,)."""
    import torch

    if len(points) <= MAX_SQUARE:
        every = torch.from_numpy(points).double()
        # rounded: equal images must tie, and a product of matrices leaves 1e-8 between them
        return torch.cdist(every, every).numpy().round(6)[a, b]
    parts = [
        np.linalg.norm(points[a[i : i + CHUNK]] - points[b[i : i + CHUNK]], axis=1)
        for i in range(0, len(a), CHUNK)
    ]
    return np.concatenate(parts)
