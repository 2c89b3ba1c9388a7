"""Simulated observers who judge which of two objects is more similar to a third.

The dissimilarity of two objects is a weighted sum of their differences in color, shape and texture. The color
difference is CIEDE2000 between surface colors, without lighting. The shape difference depends on the overlap
of outlines. Size, position, background, lighting and noise are ignored. Observers differ in their weights,
decide noisily near ties, and sometimes answer at random.
"""

from __future__ import annotations

# N triplets, O observers, F = 3 kinds of difference
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from perceptinit.world.factors import RGB, Thing
from perceptinit.world.render import OUTLINES

WEIGHTS = (1.0, 1.5, 0.3)  # of color, shape and texture, for the average observer
WEIGHT_SPREAD = 0.25  # standard deviation of log weights across observers
COLOUR_SCALE = 25.0  # CIEDE2000 units; differences far above this saturate
DECISION_NOISE = 0.18  # scale of the logistic decision noise, in units of dissimilarity
LAPSE = 0.04  # share of answers given at random


@dataclass(frozen=True, slots=True)
class Observers:
    """Observers with positive weights of color, shape and texture, float64 (O, F)."""

    weights: np.ndarray

    @classmethod
    def draw(cls, count: int, rng: np.random.Generator) -> Observers:
        """Return `count` observers with random weights."""
        spread = rng.standard_normal((count, len(WEIGHTS))) * WEIGHT_SPREAD
        return cls(np.array(WEIGHTS) * np.exp(spread))

    def p_second(self, to_first: np.ndarray, to_second: np.ndarray) -> np.ndarray:
        """Return the probability that each observer chooses the second object, (O,).

        Args:
            to_first: Differences between the first object and the anchor, (F,); see `differences`.
            to_second: Differences between the second object and the anchor, (F,).
        """
        evidence = self.weights @ (to_first - to_second)
        return LAPSE / 2 + (1 - LAPSE) / (1 + np.exp(-evidence / DECISION_NOISE))

    def ask(
        self, to_first: np.ndarray, to_second: np.ndarray, num_votes: int, rng: np.random.Generator
    ) -> int:
        """Return how many of `num_votes` randomly drawn observers choose the second object."""
        asked = rng.permutation(len(self.weights))[:num_votes]
        chances = self.p_second(to_first, to_second)[asked]
        return int((rng.random(num_votes) < chances).sum())


def differences(anchors: Sequence[Thing], others: Sequence[Thing]) -> np.ndarray:
    """Return the differences of N object pairs in color, shape and texture, float64 (N, F), in [0, 1]."""
    rows = [
        (
            colour_difference(a.rgb, b.rgb),
            shape_difference(a.shape, b.shape),
            a.texture != b.texture,
        )
        for a, b in zip(anchors, others, strict=True)
    ]
    return np.array(rows, dtype=np.float64).reshape(-1, len(WEIGHTS))


def colour_difference(a: RGB, b: RGB) -> float:
    """Return the perceived difference of two surface colors, 1 - exp(-dE / 25), in [0, 1).

    Source: Shepard 1987 (exponential law), on the CIEDE2000 difference dE.
    """
    from coloraide import Color  # imported here, because most commands draw no judgments

    difference = Color("srgb", a).delta_e(Color("srgb", b), method="2000")
    return float(1 - np.exp(-difference / COLOUR_SCALE))


@lru_cache(maxsize=256)
def shape_difference(a: str, b: str) -> float:
    """Return 1 - IoU / 2 of two outlines, in [0.5, 1], or 0 for equal shapes."""
    if a == b:
        return 0.0
    inside_a = _silhouette(a)
    inside_b = _silhouette(b)
    overlap = (inside_a & inside_b).sum() / (inside_a | inside_b).sum()
    return float(1 - overlap / 2)


@lru_cache(maxsize=256)
def _silhouette(shape: str) -> np.ndarray:
    axis = np.linspace(-1.3, 1.3, 131)
    u, v = np.meshgrid(axis, -axis)
    return OUTLINES[shape](u, v) < 0
