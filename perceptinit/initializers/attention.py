"""The self-attention layers of a model, whichever library they come from, as matrices to write into."""

from __future__ import annotations

# D width of a token, A = heads * d: width of queries, keys and values together
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from perceptinit.errors import InitializerError


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
    layers = [layer for name, module in model.named_modules() for layer in _read(name, module)]
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


def _read(name: str, module: Any) -> Iterator[Attention]:
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
