"""Self-attention layers and position embeddings of a model of any library, as matrices to write into."""

from __future__ import annotations

import math

# N patches on a square grid, D width of a token, A = heads * d: width of queries, keys and values together
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from perceptinit.errors import InitializerError

# timm; open_clip; torchvision; transformers
POSITION_NAMES = ("pos_embed", "positional_embedding", "pos_embedding", "position_embedding.weight")
MOST_PREFIX_TOKENS = 8  # a class token, a distillation token, registers


@dataclass(frozen=True, slots=True)
class Attention:
    """Views of one layer's weights: changing them in place changes the model.

    name: of the layer in the model, which names its draws.
    query, key, value: (A, D), what tokens (D,) are multiplied with; rows of a head lie together.
    out: (D, A), the projection after attention.
    """

    name: str
    num_heads: int
    query: Tensor
    key: Tensor
    value: Tensor
    out: Tensor

    @property
    def head_dim(self) -> int:
        return len(self.query) // self.num_heads

    def head(self, matrix: Tensor, index: int) -> Tensor:
        """Return the rows of a head, (d, D), of the query, key or value matrix."""
        return matrix[index * self.head_dim : (index + 1) * self.head_dim]


def find_attention(model: nn.Module, initializer: str) -> list[Attention]:
    """Return the layers in the order of the model.

    Known are timm's (`qkv`, or `q_proj`...), torch.nn.MultiheadAttention (open_clip, torchvision) and
    the CLIP towers of transformers.

    Raises InitializerError when there are none, or one that changes the width of tokens.
    """
    layers = [layer for name, module in model.named_modules() for layer in _find_layer(name, module)]
    if not layers:
        raise InitializerError(
            f"initializer '{initializer}' sets attention, and {type(model).__name__} has no layer of a known "
            "layout (timm, torch.nn.MultiheadAttention, transformers' CLIP). Use it with a vision transformer"
        )
    for layer in layers:
        if layer.out.shape != layer.query.T.shape:
            raise InitializerError(
                f"initializer '{initializer}': {layer.name} maps tokens of width {layer.query.shape[1]} to "
                f"{len(layer.out)}; it needs equal widths"
            )
    return layers


def _find_layer(name: str, module: Any) -> Iterator[Attention]:
    if isinstance(module, nn.MultiheadAttention) and module.in_proj_weight is not None:
        query, key, value = module.in_proj_weight.data.chunk(3)
        yield Attention(name, module.num_heads, query, key, value, module.out_proj.weight.data)
        return
    heads, out = getattr(module, "num_heads", None), _linear(module, "proj", "out_proj")
    if not isinstance(heads, int) or out is None:
        return
    fused = _linear(module, "qkv")
    apart = [_linear(module, f"{part}_proj") for part in "qkv"]
    parts = fused.chunk(3) if fused is not None else [part for part in apart if part is not None]
    if len(parts) == 3:
        query, key, value = parts
        yield Attention(name, heads, query, key, value, out)


def _linear(module: Any, *names: str) -> Tensor | None:
    parts = (getattr(module, name, None) for name in names)
    return next((part.weight.data for part in parts if isinstance(part, nn.Linear)), None)


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
