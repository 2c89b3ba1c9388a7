"""Random crops, flips, color jitter, RandAugment and erasing, drawn from each sample's generator."""

# H W image, S = size: height and width of the square
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from perceptinit.images.decoding import Decode, Interpolation, load_box
from perceptinit.images.jpeg import Box
from perceptinit.types import WHITE, Color, ImageSource

Crop = Literal["random", "center", "padded"]
# padding as a share of the side: 4 of 32 pixels, as in CIFAR recipes
PADDED_SHARE = 1 / 8
# attempts at a random crop before the center crop, as in torchvision
CROP_TRIES = 10
# share of images with color jitter, as in MoCo v2
JITTER_CHANCE = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Augment:
    """Training augmentation that returns a square crop. Generators in the same state give the same pixels.

    Args:
        crop: "random" crops a box of random area and aspect ratio, "center" the largest central square.
            "padded" pads that square with black, by an eighth of its side, and crops it randomly.
        scale: Smallest and largest area of a random box, as a share of the image.
        ratio: Smallest and largest width / height of a random box.
        flip: Whether to mirror half of the images.
        jitter: Strengths of the changes in brightness, contrast, saturation and hue. They are applied
            in random order, to 80 % of the images.
        grey_share: Share of images converted to grayscale.
        blur_share: Share of blurred images.
        rand_augment: Magnitude of RandAugment before the changes of color, 0 to 10; 0 disables it.
        erase_share: Share of images in which a random box becomes noise.
        decoding: "fast" decodes large JPEGs at reduced size, see `images.decoding.load_box`.
        background: Color behind transparent pixels.
        interpolation: Resampling filter.

    Source: torchvision's RandomResizedCrop and ColorJitter; MoCo v2 for 80 % and the blur.
    """

    crop: Crop = "random"
    scale: tuple[float, float] = (0.9, 1.0)
    ratio: tuple[float, float] = (0.75, 1.3333)
    flip: bool = False
    jitter: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    grey_share: float = 0.0
    blur_share: float = 0.0
    rand_augment: float = 0.0
    erase_share: float = 0.0
    decoding: Decode = "quality"
    background: Color = WHITE
    interpolation: Interpolation = "bicubic"

    def __call__(
        self, source: ImageSource, size: int, rng: np.random.Generator, key: str = "image"
    ) -> np.ndarray:
        """Return a square crop of an image, uint8 (3, S, S); may be a strided view.

        Raises:
            DataError: If the image cannot be read or decoded. The message contains its key.
        """

        def box(height: int, width: int) -> Box:
            if self.crop == "random":
                return random_box(height, width, self.scale, self.ratio, rng)
            side = min(height, width)
            return (height - side) // 2, (width - side) // 2, side, side

        square = load_box(source, key, size, box, self.decoding, self.background, self.interpolation)
        if self.crop == "padded":
            pad = round(size * PADDED_SHARE)
            top = rng.integers(2 * pad + 1)
            left = rng.integers(2 * pad + 1)
            padded = np.pad(square, ((0, 0), (pad, pad), (pad, pad)))
            square = padded[:, top : top + size, left : left + size]
        if self.flip and rng.random() < 0.5:
            square = square[:, :, ::-1]
        if self.rand_augment:
            from perceptinit.pairs.rand_augment import rand_augment

            square = rand_augment(square, self.rand_augment, rng)
        if any(self.jitter) or self.grey_share or self.blur_share:
            square = self._change_colours(square, rng)
        if self.erase_share and rng.random() < self.erase_share:
            square = _erase(square, rng)
        return square

    def _change_colours(self, square: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        from torchvision.transforms.v2 import functional as TF

        image = torch.from_numpy(np.ascontiguousarray(square))
        if any(self.jitter) and rng.random() < JITTER_CHANCE:
            image = _jitter(image, self.jitter, rng)
        if self.grey_share and rng.random() < self.grey_share:
            image = TF.rgb_to_grayscale(image, num_output_channels=3)
        if self.blur_share and rng.random() < self.blur_share:
            sigma = rng.uniform(0.1, 2.0)
            # 3 sigma on each side, at most the width of the image
            radius = min(math.ceil(3 * sigma), image.shape[-1] - 1)
            image = TF.gaussian_blur(image, [2 * radius + 1, 2 * radius + 1], [sigma, sigma])
        return image.numpy()


def _erase(square: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Replace a random box by noise."""
    from perceptinit.pairs.rand_augment import ERASED_RATIO, ERASED_SHARE, noise_like

    erased = square.copy()
    size = square.shape[-1]
    top, left, h, w = random_box(size, size, ERASED_SHARE, ERASED_RATIO, rng)
    erased[:, top : top + h, left : left + w] = noise_like((3, h, w), rng)
    return erased


def random_box(
    height: int, width: int, scale: tuple[float, float], ratio: tuple[float, float], rng: np.random.Generator
) -> Box:
    """Return (top, left, height, width) of a box with random area and aspect ratio.

    The share of the area is uniform in `scale`, and width / height is log-uniform in `ratio`. After
    CROP_TRIES boxes that do not fit, the box is the largest central one with an aspect ratio in `ratio`.
    """
    logs = math.log(ratio[0]), math.log(ratio[1])
    for _ in range(CROP_TRIES):
        area = height * width * _uniform(rng, *scale)
        proportion = math.exp(_uniform(rng, *logs))
        w = round(math.sqrt(area * proportion))
        h = round(math.sqrt(area / proportion))
        if 0 < w <= width and 0 < h <= height:
            return int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1)), h, w
    w = min(width, max(1, round(height * ratio[1])))
    h = min(height, max(1, round(width / ratio[0])))
    return (height - h) // 2, (width - w) // 2, h, w


def _uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Return `rng.uniform(low, high)`, four times faster."""
    return low + (high - low) * rng.random()


def _jitter(
    image: torch.Tensor, strengths: tuple[float, float, float, float], rng: np.random.Generator
) -> torch.Tensor:
    from torchvision.transforms.v2 import functional as TF

    change = (TF.adjust_brightness, TF.adjust_contrast, TF.adjust_saturation, TF.adjust_hue)
    for i in rng.permutation(4):
        if strengths[i]:
            # the value that leaves an image unchanged
            middle = 0.0 if change[i] is TF.adjust_hue else 1.0
            value = rng.uniform(middle - strengths[i], middle + strengths[i])
            image = change[i](image, value if middle == 0.0 else max(value, 0.0))
    return image
