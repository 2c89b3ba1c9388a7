"""Rendering of simulated images; outlines and textures are functions of position, independent of image size.

Positions u and v are float32 arrays of equal shape, with v upward. Outlines are within radius 1.2.
"""

# H W image (H = W = size)
from collections.abc import Callable
from functools import lru_cache
from math import cos, pi, radians, sin

import numpy as np

from perceptinit.world.factors import ImageFactors

Array = np.ndarray
TEXTURE_DEPTH = 0.45  # share by which the dark parts of a texture are darker


def render(factors: ImageFactors, size: int) -> np.ndarray:
    """Return the image with these factors, uint8 (size, size, 3); the scene does not depend on the size.

    Edges are antialiased over one pixel. Light multiplies sRGB values, and noise is added last.
    """
    scene = factors.scene
    x, y = _grid(size)
    angle = radians(scene.backdrop_angle)
    half = np.float32(0.5)
    blend = (x * np.float32(cos(angle)) + y * np.float32(sin(angle))) * half + half
    start, end = np.asarray(scene.backdrop, dtype=np.float32)
    image = start + blend[..., None] * (end - start)
    _paint_thing(image, factors, x, y, pixel=2 / size)
    across, down = scene.shade  # changes of brightness
    light = np.float32(scene.exposure) * (1 + x * np.float32(across) + y * np.float32(down))
    tint = np.array([1 + scene.warmth, 1, 1 - scene.warmth], dtype=np.float32)
    image *= light[..., None] * tint
    rng = np.random.default_rng(factors.noise_seed ^ 1)  # independent of the factors
    image += rng.standard_normal(image.shape, dtype=np.float32) * np.float32(scene.noise)
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


@lru_cache(maxsize=8)
def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return x (1, W) and y (H, 1) of the pixel centers, from -1 to 1."""
    centres = ((np.arange(size, dtype=np.float32) + 0.5) * (2 / size) - 1).astype(np.float32)
    return centres[None, :], centres[:, None]


def _paint_thing(
    image: np.ndarray, factors: ImageFactors, x: np.ndarray, y: np.ndarray, pixel: float
) -> None:
    """Paint the object onto the image, in place."""
    thing = factors.thing
    scene = factors.scene
    c = np.float32(cos(radians(scene.tilt)) / scene.radius)
    s = np.float32(sin(radians(scene.tilt)) / scene.radius)
    dx = x - np.float32(scene.place[0])
    dy = np.float32(scene.place[1]) - y
    u = c * dx + s * dy
    v = c * dy - s * dx
    pixel = pixel / scene.radius
    cover = np.clip(np.float32(0.5) - OUTLINES[thing.shape](u, v) / np.float32(pixel), 0, 1)
    colour = np.asarray(thing.rgb, dtype=np.float32)
    mask = texture_mask(thing.texture, u, v, pixel)
    body = colour if mask is None else colour * (1 - np.float32(TEXTURE_DEPTH) * mask)[..., None]
    image += cover[..., None] * (body - image)


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
    x = abs(u)
    y = abs(v)
    return np.minimum(np.maximum(x - 0.3, y - 1.0), np.maximum(x - 1.0, y - 0.3))


def _heart(u: Array, v: Array) -> Array:
    # a square on its corner with a half disk on each upper side
    x = abs(u)
    y = v + 0.1
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
        a = _bands(u, pixel, PERIOD * 1.2)
        b = _bands(v, pixel, PERIOD * 1.2)
        return a + b - 2 * a * b
    if texture == "dotted":
        x = _cell(u)
        y = _cell(v)
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
