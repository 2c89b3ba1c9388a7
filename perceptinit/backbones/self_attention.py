"""Self-attention with the parameters of nn.MultiheadAttention and less to copy, fast in bfloat16 on a CPU."""

from __future__ import annotations

# B batch, H heads, T tokens, d width of a head, D = H d
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from perceptinit.backbones.eager import is_eager_on_cpu

# tokens up to which a CPU keeps the probabilities in bfloat16: an eighth more memory for a block, or less
SHORT_TOKENS = 128


class SelfAttention(nn.MultiheadAttention):
    """What nn.MultiheadAttention gives for self-attention without weights; the rest is left to it.

    It takes queries, keys and values apart in one step, whose gradient needs no three tensors of zeros.
    """

    def forward(self, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Return (B, T, D) and None, of the same tensor three times; see nn.MultiheadAttention."""
        mask = kwargs.get("attn_mask")
        is_plain = not args and kwargs.keys() <= {"attn_mask", "need_weights"}
        if not (
            is_plain
            and query is key is value
            and query.ndim == 3
            and not kwargs.get("need_weights", True)
            and (mask is None or mask.is_floating_point())
            and not torch.jit.is_tracing()
        ):
            return super().forward(query, key, value, *args, **kwargs)
        qkv = F.linear(query, self.in_proj_weight, self.in_proj_bias)
        heads = qkv.unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        if mask is not None and mask.ndim == 3:
            mask = mask.unflatten(0, (-1, self.num_heads))
        q, k, v = heads.unbind(0)
        mixed = attention(q, k, v, mask)
        return self.out_proj(mixed.transpose(1, 2).flatten(2)), None


def use_self_attention(tower: nn.Module) -> None:
    """Make a SelfAttention of each nn.MultiheadAttention of the tower that may be one."""
    for module in tower.modules():
        if (
            type(module) is nn.MultiheadAttention
            and module.batch_first
            and module._qkv_same_embed_dim
            and module.dropout == 0
            and module.bias_k is None
            and not module.add_zero_attn
        ):
            module.__class__ = SelfAttention  # in place: the parameters keep their names and owners


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Return softmax(q k^T / sqrt(d) + mask) v, (B, H, T, d) as each of q, k and v.

    mask: float (T, T) or (B, H, T, T), or None.
    """
    if is_eager_on_cpu(q) and q.dtype == torch.bfloat16 and q.shape[2] <= SHORT_TOKENS:
        return _ShortAttention.apply(q, k, v, mask)
    return F.scaled_dot_product_attention(q, k, v, None if mask is None else mask.to(q.dtype))


class _ShortAttention(torch.autograd.Function):
    """Attention through its matrix: both passes of PyTorch's fused kernel take three to five times as long.

    (bfloat16, 12 heads of 50 tokens and 3 heads of 65 tokens, width 64, AMD EPYC, one thread.)
    Scores are float32, as in the fused kernel; probabilities and all gradients are bfloat16.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            scores = (q.float() * q.shape[-1] ** -0.5) @ k.float().mT
            if mask is not None:
                scores += mask
            p = scores.softmax(dim=-1).to(q.dtype)
            ctx.save_for_backward(q, k, v, p)
            return p @ v

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        q, k, v, p = ctx.saved_tensors
        d_out = grads[0]
        with torch.autocast("cpu", enabled=False):
            d_scores = torch._softmax_backward_data(d_out @ v.mT, p, -1, p.dtype)
            d_scores *= q.shape[-1] ** -0.5
            return d_scores @ k, d_scores.mT @ q, p.mT @ d_out, None
