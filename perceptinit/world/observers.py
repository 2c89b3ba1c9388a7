"""Simulated people who say which of two things looks more like a third.

An observer's dissimilarity of two things is a weighted sum of their difference in colour (CIEDE2000
of the surface colours: the light is discounted), in shape (how little the outlines overlap) and in
texture. Size, place, backdrop, light and noise play no part. Observers differ in their weights,
waver near a tie and sometimes answer at random.
"""

from __future__ import annotations

# N triplets, O observers, F = 3 kinds of difference
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from coloraide import Color

from perceptinit.world.factors import RGB, Thing
from perceptinit.world.shapes import OUTLINES

WEIGHTS = (1.0, 1.5, 0.3)  # of colour, shape and texture, for the average observer
WEIGHT_SPREAD = 0.25  # standard deviation of the logarithm of a weight between observers
COLOUR_SCALE = 25.0  # CIEDE2000 units; differences far above it all look "quite different"
DECISION_NOISE = 0.18  # scale of the logistic decision noise, in units of dissimilarity
LAPSE = 0.04  # share of answers given at random


@dataclass(frozen=True, slots=True)
class Observers:
    """A crowd; weights: float64 (O, F) of colour, shape and texture, positive."""

    weights: np.ndarray

    @classmethod
    def draw(cls, count: int, rng: np.random.Generator) -> Observers:
        """Return `count` observers with weights of their own."""
        spread = rng.standard_normal((count, len(WEIGHTS))) * WEIGHT_SPREAD
        return cls(np.array(WEIGHTS) * np.exp(spread))

    def p_second(self, to_first: np.ndarray, to_second: np.ndarray) -> np.ndarray:
        """Return each observer's chance of finding the second closer to the anchor, (O,).

        to_first, to_second: differences from the anchor, (F,), as `differences` gives them.
        """
        evidence = self.weights @ (to_first - to_second)
        return LAPSE / 2 + (1 - LAPSE) / (1 + np.exp(-evidence / DECISION_NOISE))

    def ask(
        self, to_first: np.ndarray, to_second: np.ndarray, num_votes: int, rng: np.random.Generator
    ) -> int:
        """Return how many of `num_votes` observers, drawn for this triplet, choose the second."""
        asked = rng.permutation(len(self.weights))[:num_votes]
        chances = self.p_second(to_first, to_second)[asked]
        return int((rng.random(num_votes) < chances).sum())


def differences(anchors: Sequence[Thing], others: Sequence[Thing]) -> np.ndarray:
    """Return the differences in colour, shape and texture of N pairs, float64 (N, F), in [0, 1]."""
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
    """Return the perceived difference of two surface colours in [0, 1).

    It saturates, 1 - exp(-dE / 25), because people do not grade very different colours
    (the exponential law of Shepard 1987 on dE, CIEDE2000).
    """
    difference = Color("srgb", a).delta_e(Color("srgb", b), method="2000")
    return float(1 - np.exp(-difference / COLOUR_SCALE))


@lru_cache(maxsize=256)
def shape_difference(a: str, b: str) -> float:
    """Return 0 for one shape, else from 0.5 (outlines that nearly coincide) up to 1 (that hardly do)."""
    if a == b:
        return 0.0
    inside_a, inside_b = _silhouette(a), _silhouette(b)
    overlap = (inside_a & inside_b).sum() / (inside_a | inside_b).sum()
    return float(1 - overlap / 2)


@lru_cache(maxsize=256)
def _silhouette(shape: str) -> np.ndarray:
    axis = np.linspace(-1.3, 1.3, 131)
    u, v = np.meshgrid(axis, -axis)
    return OUTLINES[shape](u, v) < 0
