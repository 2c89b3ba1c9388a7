"""Outlines and textures as functions of position, independent of image size.

Positions u and v are float32 arrays of equal shape, with v upward. Outlines are within radius 1.2.
"""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi, sin

import numpy as np

Array = np.ndarray


def _radius(u: Array, v: Array) -> Array:
    # not np.hypot, whose last bit differs between math libraries
    return np.sqrt(u * u + v * v)


def _star(u: Array, v: Array) -> Array:
    # a point is inside a pentagram if it is inside four of five half-planes: the second largest distance
    largest = np.full_like(u, -np.inf)
    second = largest
    for k in range(5):
        angle = pi / 2 + 2 * pi * k / 5
        line = u * np.float32(cos(angle)) + v * np.float32(sin(angle)) - 0.42
        second = np.maximum(second, np.minimum(largest, line))
        largest = np.maximum(largest, line)
    return second


def _cross(u: Array, v: Array) -> Array:
    x, y = abs(u), abs(v)
    return np.minimum(np.maximum(x - 0.3, y - 1.0), np.maximum(x - 1.0, y - 0.3))


def _heart(u: Array, v: Array) -> Array:
    # a square on its corner with a half disk on each upper side
    x, y = abs(u), v + 0.1
    square = (x + abs(y) - 0.85) * 0.7071
    lobe = _radius(x - 0.425, y - 0.425) - 0.601
    return np.minimum(square, lobe)


# Name -> signed distance to the outline in units of u and v, negative inside, accurate near the edge
OUTLINES: dict[str, Callable[[Array, Array], Array]] = {
    "circle": lambda u, v: _radius(u, v) - 0.85,
    "square": lambda u, v: np.maximum(abs(u), abs(v)) - 0.76,
    "triangle": lambda u, v: np.maximum(-v, 0.5 * v + 0.866 * abs(u)) - 0.6,
    "star": _star,
    "cross": _cross,
    "ring": lambda u, v: abs(_radius(u, v) - 0.74) - 0.24,
    "heart": _heart,
    "crescent": lambda u, v: np.maximum(_radius(u - 0.1, v) - 0.98, 0.82 - _radius(u - 0.55, v)),
}

PERIOD = 0.72  # of stripes, dots and checks, in units of u and v


def texture_mask(texture: str, u: Array, v: Array, pixel: float) -> Array | None:
    """Return the darkness of a texture at each position, in [0, 1]; None for "plain".

    Args:
        texture: Name in `TEXTURES`.
        u: Horizontal positions.
        v: Vertical positions.
        pixel: Width of a pixel in units of u and v, over which edges are antialiased.
    """
    if texture == "striped":
        return _bands(u + v, 2**0.5 * pixel, 2**0.5 * PERIOD)
    if texture == "checked":
        a, b = _bands(u, pixel, PERIOD * 1.2), _bands(v, pixel, PERIOD * 1.2)
        return a + b - 2 * a * b
    if texture == "dotted":
        x, y = _cell(u), _cell(v)
        return np.clip((0.21 - _radius(x, y)) / pixel + 0.5, 0, 1)
    return None


def _bands(x: Array, pixel: float, period: float) -> Array:
    """Return antialiased bands that are 1 for half of each period."""
    phase = x / period
    to_edge = abs(phase - np.floor(phase) - 0.5) - 0.25
    return np.clip(to_edge * (period / pixel) + 0.5, 0, 1)


def _cell(x: Array) -> Array:
    """Return the signed distance to the nearest multiple of the period."""
    phase = x / PERIOD + 0.5
    return (phase - np.floor(phase) - 0.5) * PERIOD
