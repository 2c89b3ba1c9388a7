"""The learned position embeddings of a vision transformer, and the sinusoidal ones."""

from __future__ import annotations

# N patches on a square grid, D width
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from perceptinit.errors import InitializerError

# timm; open_clip; torchvision; transformers
POSITION_NAMES = ("pos_embed", "positional_embedding", "pos_embedding", "position_embedding.weight")

MOST_PREFIX_TOKENS = 8  # a class token, a distillation token, registers


@dataclass(frozen=True, slots=True)
class Positions:
    """patches: (N, D), a view that changes the model; side: patches in a row, N = side * side."""

    patches: Tensor
    side: int


def find_positions(model: nn.Module, initializer: str) -> Positions:
    """Return the position embeddings of the patches; those of a class token are left out.

    Raises InitializerError when there are none, or not of a square grid.
    """
    parameters = dict(model.named_parameters())
    found = [n for n in parameters if any(f".{n}".endswith(f".{end}") for end in POSITION_NAMES)]
    if len(found) != 1:
        raise InitializerError(
            f"initializer '{initializer}': {len(found)} position embeddings in {type(model).__name__} "
            f"(looked for {', '.join(POSITION_NAMES)}); it needs one"
        )
    table = parameters[found[0]].data
    table = table.reshape(-1, table.shape[-1])
    # timm and transformers say how many patches there are; else all but a class token
    stated = (getattr(module, "num_patches", None) for module in model.modules())
    count = next((n for n in stated if isinstance(n, int)), math.isqrt(len(table)) ** 2)
    side = math.isqrt(count)
    if side * side != count or not count <= len(table) <= count + MOST_PREFIX_TOKENS:
        raise InitializerError(
            f"initializer '{initializer}': {found[0]} has {len(table)} positions, which is no square grid "
            "of patches"
        )
    return Positions(table[len(table) - count :], side)


def sinusoidal(side: int, width: int, initializer: str) -> Tensor:
    """Return sines and cosines of column and row, float32 (side * side, width), in [-1, 1].

    Source: Vaswani et al. 2017, in two dimensions: half of the width for each, 10,000 ** -(i / (width / 4)).

    Raises InitializerError when 4 does not divide the width.
    """
    if width % 4:
        raise InitializerError(
            f"initializer '{initializer}': sinusoidal positions need a width that 4 divides, not {width}; "
            'use positions = "keep"'
        )
    frequencies = 10_000.0 ** -(torch.arange(width // 4) / (width // 4))
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    angles = [place.flatten()[:, None] * frequencies for place in (column, row)]
    return torch.cat([f(angle) for angle in angles for f in (torch.sin, torch.cos)], dim=1)
