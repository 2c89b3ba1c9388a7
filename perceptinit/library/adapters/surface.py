"""What an image tower needs to know about another library's model."""

from __future__ import annotations

# B batch, D embedding, S height and width
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

RGB = tuple[float, float, float]
Encode = Callable[[torch.Tensor], torch.Tensor]

CLIP_MEAN: RGB = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: RGB = (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN: RGB = (0.485, 0.456, 0.406)
IMAGENET_STD: RGB = (0.229, 0.224, 0.225)
HALF: RGB = (0.5, 0.5, 0.5)


@dataclass(frozen=True, slots=True)
class Surface:
    """The vision part of a model and how images go in.

    vision: module whose weights an initializer may change.
    encode: maps normalised images (B, 3, S, S) to embeddings (B, D) by way of `vision`.
    image_size: S, pixels, None when the model does not state it.
    mean, std: of the three channels, for pixels in [0, 1]; None when the model does not state them.
    """

    vision: nn.Module
    encode: Encode
    image_size: int | None
    mean: RGB | None
    std: RGB | None


def square_side(size: object) -> int | None:
    """Return the side of a square given as an int, (S, S) or (3, S, S); None for anything else."""
    sides = tuple(size)[-2:] if isinstance(size, (tuple, list)) else (size, size)
    return int(sides[0]) if sides[0] == sides[-1] and isinstance(sides[0], int) else None
