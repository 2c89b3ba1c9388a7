"""Rendering of simulated images."""

from __future__ import annotations

# H W image (H = W = size)
from collections.abc import Sequence
from functools import lru_cache
from math import cos, radians, sin

import numpy as np

from perceptinit.world.factors import ImageFactors
from perceptinit.world.shapes import OUTLINES, texture_mask

TEXTURE_DEPTH = 0.45  # share by which the dark parts of a texture are darker


class RenderedImages(Sequence[np.ndarray]):
    """Sequence of images, uint8 (size, size, 3), rendered on access."""

    def __init__(self, factors: Sequence[ImageFactors], size: int) -> None:
        self.factors = factors
        self.size = size

    def __len__(self) -> int:
        return len(self.factors)

    def __getitem__(self, index):
        """Return an image, or a lazy sequence for a slice."""
        if isinstance(index, slice):
            return RenderedImages(self.factors[index], self.size)
        return render(self.factors[index], self.size)


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
    thing, scene = factors.thing, factors.scene
    c = np.float32(cos(radians(scene.tilt)) / scene.radius)
    s = np.float32(sin(radians(scene.tilt)) / scene.radius)
    dx, dy = x - np.float32(scene.place[0]), np.float32(scene.place[1]) - y
    u, v = c * dx + s * dy, c * dy - s * dx
    pixel = pixel / scene.radius
    cover = np.clip(np.float32(0.5) - OUTLINES[thing.shape](u, v) / np.float32(pixel), 0, 1)
    colour = np.asarray(thing.rgb, dtype=np.float32)
    mask = texture_mask(thing.texture, u, v, pixel)
    body = colour if mask is None else colour * (1 - np.float32(TEXTURE_DEPTH) * mask)[..., None]
    image += cover[..., None] * (body - image)
