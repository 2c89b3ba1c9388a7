"""Dead leaves images for self-supervised pretraining (`simclr/dead-leaves`)."""

# L leaves, P pixels
import math
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np

from perceptinit.plugin import NonNegativeInt, Pair, PositiveFloat, PositiveInt, generator

Shape = Literal["disk", "square", "mixed"]
NUM_LEAVES, NUM_TESTS = 64, 4_000_000  # maximum numbers of leaves drawn, and of points tested, at a time
MAX_SIDE = 1024
MIN_RADIUS = 0.01  # as a share of the side; smaller leaves miss most pixels


class DeadLeaves:
    """Images of opaque leaves that occlude each other, drawn from a seed.

    Leaves have uniform positions and colors. The density of their radii is proportional to r^-3, which makes
    image statistics nearly independent of scale between the two radii. Leaves are drawn from front to back
    until they cover the image. Control: with `min_radius` equal to `max_radius`,
    all leaves have one size.

    Source: Lee, Mumford and Huang 2001, "Occlusion Models for Natural Images"; for contrastive pretraining:
    Baradad et al. 2021, "Learning to See by Looking at Noise", which reports results in figures only. The
    settings below are ours.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        seed: NonNegativeInt = 0
        """Seed of the images, not the run's seed: all runs share one data set."""
        num_images: PositiveInt = 20_000
        """Number of images."""
        image_size: PositiveInt = 32
        """Height and width of the images, pixels, at most 1024."""
        min_radius: PositiveFloat = 0.04
        """Smallest radius, as a share of the image's side, at least 0.01."""
        max_radius: PositiveFloat = 0.5
        """Largest radius, as a share of the image's side."""
        shape: Shape = "mixed"
        """Disks, randomly rotated squares of the same area, or half of each."""

        def __post_init__(self) -> None:
            if self.image_size > MAX_SIDE:
                raise ValueError(f"image_size = {self.image_size}: it must be at most {MAX_SIDE}")
            if not MIN_RADIUS <= self.min_radius <= self.max_radius:
                raise ValueError(
                    f"min_radius = {self.min_radius:g}: it must be between {MIN_RADIUS} and max_radius = "
                    f"{self.max_radius:g}"
                )

        def smoke(self) -> Self:
            """Return a copy with at most 64 images."""
            return replace(self, num_images=min(64, self.num_images))

    def __init__(self, config: Config) -> None:
        self.config = config
        self.num_pairs = config.num_images
        self.block_sizes = [config.num_images]

    def pair(self, index: int) -> Pair:
        """Return image `index`, rendered; its text has no meaning."""
        rng = generator(self.config.seed, "dead leaves", index)
        return Pair(f"dead-leaves/{index:06d}", render(self.config, rng), "dead leaves")


@dataclass(frozen=True, slots=True, eq=False)
class Leaves:
    """Leaves from front to back, in units of the image's side.

    Attributes:
        centers: float64 (L, 2).
        radii: float64 (L,).
        angles: Rotation of squares, float64 (L,).
        is_square: bool (L,).
        colors: uint8 (L, 3).
    """

    centers: np.ndarray
    radii: np.ndarray
    angles: np.ndarray
    is_square: np.ndarray
    colors: np.ndarray

    def contain(self, points: np.ndarray) -> np.ndarray:
        """Return whether each leaf contains each point (P, 2), bool (L, P)."""
        x, y = (points[None] - self.centers[:, None]).transpose(2, 0, 1)
        cos, sin = np.cos(self.angles)[:, None], np.sin(self.angles)[:, None]
        half = self.radii[:, None] * math.sqrt(math.pi) / 2  # of a square with the area of the disk
        in_square = np.maximum(np.abs(cos * x + sin * y), np.abs(cos * y - sin * x)) <= half
        return np.where(self.is_square[:, None], in_square, x**2 + y**2 <= self.radii[:, None] ** 2)


def draw_radii(num: int, low: float, high: float, rng: np.random.Generator) -> np.ndarray:
    """Return radii in [low, high] with a density proportional to r^-3, float64 (L,)."""
    return (low**-2 - rng.random(num) * (low**-2 - high**-2)) ** -0.5


def draw_leaves(config: DeadLeaves.Config, num: int, rng: np.random.Generator) -> Leaves:
    """Return random leaves with centers in or just outside the image, so that leaves cross its border."""
    margin = config.max_radius * math.sqrt(math.pi / 2)  # half of the diagonal of the largest square
    share = {"disk": 0.0, "square": 1.0, "mixed": 0.5}[config.shape]
    return Leaves(
        centers=rng.uniform(-margin, 1 + margin, (num, 2)),
        radii=draw_radii(num, config.min_radius, config.max_radius, rng),
        angles=rng.uniform(0, np.pi / 2, num),
        is_square=rng.random(num) < share,
        colors=rng.integers(0, 256, (num, 3), dtype=np.uint8),
    )


def render(config: DeadLeaves.Config, rng: np.random.Generator) -> np.ndarray:
    """Return an image, uint8 (S, S, 3): the color of the first leaf at each pixel center."""
    side = config.image_size
    points = (np.indices((side, side)).reshape(2, -1).T + 0.5) / side
    image, uncovered = np.zeros((side * side, 3), np.uint8), np.arange(side * side)
    while len(uncovered):
        leaves = draw_leaves(config, max(1, min(NUM_LEAVES, NUM_TESTS // len(points))), rng)
        inside = leaves.contain(points[uncovered])
        is_covered = inside.any(axis=0)
        image[uncovered[is_covered]] = leaves.colors[inside.argmax(axis=0)[is_covered]]
        uncovered = uncovered[~is_covered]
    return image.reshape(side, side, 3)
