"""Random crops, flips and colours, drawn from a generator of the sample's own."""

from __future__ import annotations

# H W image, S = size: height and width of the square
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torchvision.transforms.v2 import functional as TF

from perceptinit.images.decoding import Decode, Interpolation, load_box
from perceptinit.images.jpeg import Box
from perceptinit.types import WHITE, Colour, ImageSource

Crop = Literal["random", "center", "padded"]
# of the side of a padded square, what is put around it: 4 of 32 pixels, as CIFAR recipes do
PADDED_SHARE = 1 / 8
# tries of a random crop before the middle of the image is taken, as in torchvision
CROP_TRIES = 10
# a brightness, contrast or saturation of 1 and a hue of 0 leave an image as it is
JITTER_CHANCE = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Augment:
    """How an image becomes a square for training; the same generator gives the same pixels.

    crop: "random" takes a box of a random share and proportion, "center" the largest middle square, "padded" that
    square with an eighth of its side in black around it, cut to its size at a random place.
    scale: smallest and largest share of the image's area in a random box.
    ratio: smallest and largest width / height of a random box.
    flip: mirror half of the images.
    jitter: strengths of brightness, contrast, saturation and hue, applied to 80 % of the images in
    random order; grey_share and blur_share: images that lose their colour or sharpness.
    decoding: "fast" reads large JPEGs at a fraction of their size, see `images.load_box`.
    background: what is behind the transparent parts of an image. interpolation: how it is resized.
    Source: torchvision's RandomResizedCrop and ColorJitter; MoCo v2 for 80 % and the blur.
    """

    crop: Crop = "random"
    scale: tuple[float, float] = (0.9, 1.0)
    ratio: tuple[float, float] = (0.75, 1.3333)
    flip: bool = False
    jitter: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    grey_share: float = 0.0
    blur_share: float = 0.0
    decoding: Decode = "quality"
    background: Colour = WHITE
    interpolation: Interpolation = "bicubic"

    def __call__(
        self, source: ImageSource, size: int, rng: np.random.Generator, key: str = "image"
    ) -> np.ndarray:
        """Return the square of an image, uint8 (3, S, S); may be a strided view.

        Raises DataError, naming the image by its key, when it cannot be read or decoded.
        """

        def box(height: int, width: int) -> Box:
            if self.crop == "random":
                return random_box(height, width, self.scale, self.ratio, rng)
            side = min(height, width)
            return (height - side) // 2, (width - side) // 2, side, side

        square = load_box(source, key, size, box, self.decoding, self.background, self.interpolation)
        if self.crop == "padded":
            pad = round(size * PADDED_SHARE)
            top, left = rng.integers(2 * pad + 1), rng.integers(2 * pad + 1)
            padded = np.pad(square, ((0, 0), (pad, pad), (pad, pad)))
            square = padded[:, top : top + size, left : left + size]
        if self.flip and rng.random() < 0.5:
            square = square[:, :, ::-1]
        if any(self.jitter) or self.grey_share or self.blur_share:
            square = self._change_colours(square, rng)
        return square

    def _change_colours(self, square: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        image = torch.from_numpy(np.ascontiguousarray(square))
        if any(self.jitter) and rng.random() < JITTER_CHANCE:
            image = _jitter(image, self.jitter, rng)
        if self.grey_share and rng.random() < self.grey_share:
            image = TF.rgb_to_grayscale(image, num_output_channels=3)
        if self.blur_share and rng.random() < self.blur_share:
            sigma = rng.uniform(0.1, 2.0)
            # 3 sigma on each side, and never wider than the image
            radius = min(math.ceil(3 * sigma), image.shape[-1] - 1)
            image = TF.gaussian_blur(image, [2 * radius + 1, 2 * radius + 1], [sigma, sigma])
        return image.numpy()


def random_box(
    height: int,
    width: int,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    rng: np.random.Generator,
) -> Box:
    """Return (top, left, height, width) of a box with a random share of the area and proportion.

    The share is uniform in `scale`, the logarithm of width / height is uniform. When no box that is
    drawn fits, the largest middle box with a proportion in `ratio` is returned.
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
    """Return what `rng.uniform` does, in a quarter of its time; most boxes take several tries."""
    return low + (high - low) * rng.random()


def _jitter(
    image: torch.Tensor, strengths: tuple[float, float, float, float], rng: np.random.Generator
) -> torch.Tensor:
    change = (TF.adjust_brightness, TF.adjust_contrast, TF.adjust_saturation, TF.adjust_hue)
    for i in rng.permutation(4):
        if strengths[i]:
            middle = 0.0 if change[i] is TF.adjust_hue else 1.0
            value = rng.uniform(middle - strengths[i], middle + strengths[i])
            image = change[i](image, value if middle == 0.0 else max(value, 0.0))
    return image
