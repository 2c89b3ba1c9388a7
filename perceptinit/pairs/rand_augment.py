"""RandAugment and random erasing with timm's settings, drawn from each sample's generator.

timm's own transforms draw from Python's global generator, whose state depends on the order of threads.
"""

# S = size: height and width of the square
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image
from timm.data import auto_augment as timm_ops
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

# a strength in [0, 1] and a sign give the argument of an operation of timm's increasing set; none takes none
_OPERATIONS: tuple[tuple[Callable[..., Image.Image], Callable[[float, int], float] | None], ...] = (
    (timm_ops.auto_contrast, None),
    (timm_ops.equalize, None),
    (timm_ops.invert, None),
    (timm_ops.rotate, lambda strength, sign: 30 * sign * strength),
    (timm_ops.posterize, lambda strength, sign: max(4 - int(4 * strength), 1)),  # Pillow refuses 0
    (timm_ops.solarize, lambda strength, sign: 256 - int(256 * strength)),
    (timm_ops.solarize_add, lambda strength, sign: int(110 * strength)),
    (timm_ops.color, lambda strength, sign: 1 + 0.9 * sign * strength),
    (timm_ops.contrast, lambda strength, sign: 1 + 0.9 * sign * strength),
    (timm_ops.brightness, lambda strength, sign: 1 + 0.9 * sign * strength),
    (timm_ops.sharpness, lambda strength, sign: 1 + 0.9 * sign * strength),
    (timm_ops.shear_x, lambda strength, sign: 0.3 * sign * strength),
    (timm_ops.shear_y, lambda strength, sign: 0.3 * sign * strength),
    (timm_ops.translate_x_rel, lambda strength, sign: 0.45 * sign * strength),
    (timm_ops.translate_y_rel, lambda strength, sign: 0.45 * sign * strength),
)
MAX_MAGNITUDE = 10
NUM_OPERATIONS = 2
CHANCE = 0.5  # of each operation
MAGNITUDE_STD = 0.5
ERASED_SHARE = (0.02, 1 / 3)
ERASED_RATIO = (0.3, 1 / 0.3)
_MEAN = np.array(IMAGENET_DEFAULT_MEAN)[:, None, None]
_STD = np.array(IMAGENET_DEFAULT_STD)[:, None, None]
_FILL: dict[str, Any] = {
    "fillcolor": tuple(round(255 * mean) for mean in IMAGENET_DEFAULT_MEAN),
    "resample": Image.Resampling.BICUBIC,
}


def rand_augment(square: np.ndarray, magnitude: float, rng: np.random.Generator) -> np.ndarray:
    """Apply up to two of 15 operations, as timm's `rand-m9-mstd0.5-inc1` for magnitude 9.

    Args:
        square: uint8 (3, S, S).
        magnitude: Mean of the magnitude of an operation, 0 to 10; its standard deviation is 0.5.
        rng: Generator of the sample.

    Returns:
        uint8 (3, S, S).

    Source: Cubuk et al. 2020; timm's auto_augment for the operations and ranges.
    """
    image = Image.fromarray(np.ascontiguousarray(square.transpose(1, 2, 0)))
    for _ in range(NUM_OPERATIONS):
        operation, argument = _OPERATIONS[rng.integers(len(_OPERATIONS))]
        strength = np.clip(rng.normal(magnitude, MAGNITUDE_STD), 0, MAX_MAGNITUDE) / MAX_MAGNITUDE
        sign = 1 if rng.random() < 0.5 else -1
        if rng.random() < CHANCE:
            arguments = [argument(float(strength), sign)] if argument else []
            image = operation(image, *arguments, **_FILL)
    return np.asarray(image).transpose(2, 0, 1)


def noise_like(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Return normal noise with the mean and standard deviation of ImageNet's pixels, uint8 `shape`.

    timm's noise is not clipped, because it follows the normalization.
    """
    noise = _MEAN + _STD * rng.standard_normal(shape)
    return np.clip(np.round(255 * noise), 0, 255).astype(np.uint8)
