"""Augmentation that treats all images of a judgment alike, so that what people compared stays comparable.

Crops drawn for each image apart would hide from the model what made one of them the more similar.
One draw holds for a whole optimiser step: images that occur in many judgments of the batch are
still encoded once, and a run has hundreds of steps.
"""

from __future__ import annotations

# U distinct images of a batch, S height and width
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from perceptinit.pairs.augment import random_box

PROPORTIONS = (3 / 4, 4 / 3)  # of a box, width / height, as in torchvision's RandomResizedCrop


def augment_alike(
    images: Tensor, crop_scale: tuple[float, float], flip: bool, rng: np.random.Generator
) -> Tensor:
    """Return the images, uint8 (U, 3, S, S), all with the same crop and all mirrored or none.

    crop_scale: smallest and largest share of the area that a crop keeps; (1, 1) crops nothing.
    """
    size = images.shape[-1]
    if flip and rng.random() < 0.5:
        images = images.flip(-1)
    if crop_scale == (1.0, 1.0):
        return images
    top, left, height, width = random_box(size, size, crop_scale, PROPORTIONS, rng)
    box = images[:, :, top : top + height, left : left + width]
    if box.device.type == "cpu":
        return F.interpolate(box, (size, size), mode="bicubic", antialias=True, align_corners=False)
    # GPUs resize floats only; up to a level from the CPU's pixels
    resized = F.interpolate(
        box.float(), (size, size), mode="bicubic", antialias=True, align_corners=False
    )
    return resized.round_().clamp_(0, 255).to(torch.uint8)
