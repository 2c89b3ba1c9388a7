"""Rendered fractals (`fractals`), one class each, for supervised pretraining."""

# M affine maps, P points of an image

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np

from perceptinit.configs import DrawnSide, NonNegativeInt, PositiveFloat, PositiveInt
from perceptinit.errors import DataError, problems_of
from perceptinit.seeding import generator
from perceptinit.types import Classes, Pair

NUM_CHAINS = 512
NUM_STEPS = 120
NUM_DROPPED = 20
FINER = 4  # a pixel is the mean of 4 x 4 subpixels
GREY = 127  # gray level of a point, on black
MIN_FILLED = 0.05  # systems with points in a smaller share of 128 x 128 pixels are rejected
MARGIN = 0.02  # margin around the points, as a share of the image's side
MAX_DRAWS = 100_000  # attempts to draw the singular values of a system
ADVICE = "Choose sigma closer to 1.75 per map"


class Fractals:
    """Fractal images of one iterated function system, with one class per small perturbation.

    A system of affine maps is drawn from the seed. For class i, each coefficient is multiplied by a random
    factor in 1 +- `perturbation`, and one image is rendered, gray points on black. With `supervised` in
    `pretrain`, the network learns to distinguish shapes without photographs. Control: with
    `perturbation = 0.01`, the published accuracy falls from 84.2 to 19.9 on CIFAR-100 (ViT-Ti, fine-tuned).

    Source: Nakamura et al. 2024, "Scaling Backwards: Minimal Synthetic Pre-training?" (1p-frac, MIT license);
    systems as in Anderson and Farrell 2022, arXiv 2110.03091. The published images have 512 pixels per side
    and points of 3 x 3 pixels.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        seed: NonNegativeInt = 0
        """Seed of the system and its perturbations, not the run's seed: all runs share one data set."""
        num_classes: PositiveInt = 1000
        """Number of classes, with one image each (paper: 1,000)."""
        perturbation: PositiveFloat = 0.1
        """Maximum relative change of a coefficient, below 1 (paper: 0.1)."""
        sigma: PositiveFloat = 3.5
        """Complexity: the sum over maps of the larger singular value plus twice the smaller (paper: 3.5)."""
        num_maps: PositiveInt = 2
        """Number of affine maps M (paper: 2)."""
        image_size: DrawnSide = 32
        """Height and width of the images, pixels."""

        def __post_init__(self) -> None:
            if self.perturbation >= 1:
                raise ValueError(f"perturbation = {self.perturbation:g}: it must be below 1")
            if self.sigma >= 3 * self.num_maps:
                raise ValueError(
                    f"sigma = {self.sigma:g}: it must be below 3 * num_maps = {3 * self.num_maps}"
                )

        def smoke(self) -> Self:
            """Return a copy with at most 64 classes."""
            return replace(self, num_classes=min(64, self.num_classes))

    def __init__(self, config: Config) -> None:
        self.config = config
        self.num_pairs = config.num_classes
        self.block_sizes = [config.num_classes]
        self._shades: dict[int, np.ndarray] = {}  # rendered once, because every epoch contains each image

    @cached_property
    def _system(self) -> np.ndarray:
        """The unperturbed system, (M, 2, 3): the first draw that fills enough of an image."""
        c = self.config
        for attempt in range(1000):
            system = draw_system(c.num_maps, c.sigma, generator(c.seed, "fractals", attempt))
            points = draw_points(system, generator(c.seed, "fractals", attempt, "points"))
            if _fill(points, 128).mean() >= MIN_FILLED:
                return system
        raise DataError(f"no system with sigma = {c.sigma:g} fills {MIN_FILLED:.0%} of an image. {ADVICE}")

    def preflight(self) -> Iterator[str]:
        """Yield a message if no system can be drawn."""
        yield from problems_of(lambda: self._system)

    def pair(self, index: int) -> Pair:
        """Return image `index`, rendered, with its class name as text."""
        if index not in self._shades:
            c = self.config
            rng = generator(self.config.seed, "fractals", "class", index)
            system = self._system * rng.uniform(1 - c.perturbation, 1 + c.perturbation, self._system.shape)
            self._shades[index] = render(draw_points(system, rng), c.image_size)
        image = np.repeat(self._shades[index][:, :, None], 3, axis=2)
        return Pair(f"fractals/{index:06d}", image, _name(index))

    def read_classes(self) -> Classes:
        """Return one class for each image."""
        return Classes(tuple(map(_name, range(self.num_pairs))), np.arange(self.num_pairs, dtype=np.int64))


def _name(index: int) -> str:
    return f"fractal {index}"


def draw_system(num_maps: int, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Return contractions x -> A x + b, float64 (M, 2, 3), whose weighted sum of singular values is `sigma`.

    Singular values s1 >= s2 of each map are within [0, 1]; their sum over maps, s2 counted twice, is `sigma`.

    Raises:
        DataError: If no attempt gives this sum.
    """
    weights = np.array([1.0, 2.0])
    for _ in range(MAX_DRAWS):  # rejection sampling, uniform over the values with this sum
        values = np.sort(rng.random((num_maps, 2)), axis=1)[:, ::-1]
        rest = sigma - (values * weights).sum() + values[-1, 0]
        if values[-1, 1] <= rest <= 1:
            values[-1, 0] = rest
            break
    else:
        raise DataError(f"no {num_maps} maps with sigma = {sigma:g} were found. {ADVICE}")
    left = _rotations(num_maps, rng)
    maps = left * values[:, None, :] @ _rotations(num_maps, rng)
    return np.concatenate([maps, rng.uniform(-1, 1, (num_maps, 2, 1))], axis=2)


def _rotations(num: int, rng: np.random.Generator) -> np.ndarray:
    """Return random orthogonal matrices (num, 2, 2), each a reflection with probability 1/2."""
    angle = rng.uniform(-np.pi, np.pi, num)
    cos = np.cos(angle)
    sin = np.sin(angle)
    matrices = np.array([[cos, -sin], [sin, cos]]).transpose(2, 0, 1)
    return matrices * rng.choice([-1.0, 1.0], (num, 1, 2))


def draw_points(system: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return points of the attractor, float64 (P, 2), by the chaos game.

    Each step chooses a map with a probability proportional to its area scaling, |det A|.
    """
    areas = np.abs(np.linalg.det(system[:, :, :2])) + 1e-12
    chosen = rng.choice(len(system), (NUM_STEPS, NUM_CHAINS), p=areas / areas.sum())
    points = np.zeros((NUM_CHAINS, 2))
    kept = []
    for step in range(NUM_STEPS):
        maps = system[chosen[step]]
        points = np.einsum("cij,cj->ci", maps[:, :, :2], points) + maps[:, :, 2]
        if step >= NUM_DROPPED:
            kept.append(points)
    return np.concatenate(kept)


def render(points: np.ndarray, size: int) -> np.ndarray:
    """Render points (P, 2), scaled to the size of the image, as uint8 (H, W), gray on black."""
    filled = _fill(points, size * FINER).reshape(size, FINER, size, FINER)
    return np.rint(filled.mean(axis=(1, 3)) * GREY).astype(np.uint8)


def _fill(points: np.ndarray, side: int) -> np.ndarray:
    """Return which pixels have a point, bool (side, side)."""
    low = points.min(axis=0)
    spread = np.maximum(points.max(axis=0) - low, 1e-9)
    places = ((points - low) / spread * (1 - 2 * MARGIN) + MARGIN) * side
    columns, rows = places.astype(np.int64).clip(0, side - 1).T
    filled = np.zeros((side, side), dtype=bool)
    filled[rows, columns] = True
    return filled
