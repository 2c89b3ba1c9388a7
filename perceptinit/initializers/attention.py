"""Find the self-attention layers and position embeddings of a model, as writable views."""

# N patches on a square grid, D width of a token, d of a head, A = heads * d
import math
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
    """The matrices of an attention layer, as views of the model's parameters.

    Attributes:
        name: Name of the layer in the model.
        num_heads: Number of heads.
        query: Query projection, (A, D); the rows of a head are contiguous.
        key: Key projection, (A, D).
        value: Value projection, (A, D).
        out: Projection after attention, (D, A).
    """

    name: str
    num_heads: int
    query: Tensor
    key: Tensor
    value: Tensor
    out: Tensor

    @property
    def head_dim(self) -> int:
        """Width d of a head."""
        return len(self.query) // self.num_heads

    def head(self, matrix: Tensor, index: int) -> Tensor:
        """Return the rows (d, D) of one head in the query, key or value matrix."""
        return matrix[index * self.head_dim : (index + 1) * self.head_dim]


def find_attention(model: nn.Module, initializer: str) -> list[Attention]:
    """Return the attention layers of a model, in the order of its modules.

    Supports timm (`qkv` or `q_proj`), torch.nn.MultiheadAttention (open_clip, torchvision) and the CLIP
    towers of transformers.

    Args:
        model: Image tower.
        initializer: Name of the caller, for errors.

    Raises:
        InitializerError: If no layer has a known layout, or a layer changes the token width.
    """
    layers = [layer for name, module in model.named_modules() for layer in _find_layer(name, module)]
    if not layers:
        raise InitializerError(
            f"initializer '{initializer}': {type(model).__name__} has no supported attention layer (timm, "
            "torch.nn.MultiheadAttention, transformers' CLIP). Use a vision transformer"
        )
    for layer in layers:
        if layer.out.shape != layer.query.T.shape:
            raise InitializerError(
                f"initializer '{initializer}': {layer.name} changes the token width from "
                f"{layer.query.shape[1]} to {len(layer.out)}, which is not supported"
            )
    return layers


def _find_layer(name: str, module: Any) -> Iterator[Attention]:
    if isinstance(module, nn.MultiheadAttention) and module.in_proj_weight is not None:
        query, key, value = module.in_proj_weight.data.chunk(3)
        yield Attention(name, module.num_heads, query, key, value, module.out_proj.weight.data)
        return
    heads = getattr(module, "num_heads", None)
    out = _linear(module, "proj", "out_proj")
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


def find_positions(model: nn.Module, initializer: str) -> Tensor:
    """Return the position embeddings of the patches (N, D), as a view of the parameter.

    Raises:
        InitializerError: If the model does not have exactly one such parameter, or the grid is not square.
    """
    parameters = dict(model.named_parameters())
    found = [n for n in parameters if any(f".{n}".endswith(f".{end}") for end in POSITION_NAMES)]
    if len(found) != 1:
        raise InitializerError(
            f"initializer '{initializer}': {type(model).__name__} has {len(found)} position embeddings "
            f"(names: {', '.join(POSITION_NAMES)}), expected one"
        )
    table = parameters[found[0]].data
    table = table.reshape(-1, table.shape[-1])
    # the number of patches stated by timm and transformers, otherwise the largest square
    stated = (getattr(module, "num_patches", None) for module in model.modules())
    count = next((n for n in stated if isinstance(n, int)), math.isqrt(len(table)) ** 2)
    if math.isqrt(count) ** 2 != count or not count <= len(table) <= count + MOST_PREFIX_TOKENS:
        raise InitializerError(
            f"initializer '{initializer}': the {len(table)} positions of {found[0]} do not form a square grid"
        )
    return table[len(table) - count :]


def sinusoidal(side: int, width: int) -> Tensor:
    """Return sinusoidal position embeddings of a square grid, float32 (side * side, width), in [-1, 1].

    Half of the width encodes columns, the other half rows, with frequencies 10,000 ** -(i / (width / 4)).

    Raises:
        InitializerError: If the width is not divisible by 4.

    Source: Vaswani et al. 2017, in two dimensions.
    """
    if width % 4:
        raise InitializerError(
            f"initializer 'mimetic': sinusoidal positions need a width divisible by 4, got {width}. "
            'Use positions = "keep"'
        )
    frequencies = 10_000.0 ** -(torch.arange(width // 4) / (width // 4))
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    angles = [index.flatten()[:, None] * frequencies for index in (column, row)]
    return torch.cat([f(angle) for angle in angles for f in (torch.sin, torch.cos)], dim=1)
