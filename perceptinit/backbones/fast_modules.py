"""Faster equivalents of the patch embedding and the attention in timm and open_clip.

Only this file replaces modules of other libraries and uses private names of torch, which
tests/backbones/test_backbones.py checks. Eager passes use a matrix product for patches and, on a CPU,
`_ShortAttention`, or timm's unfused attention, for short sequences. Traced passes use torch's kernels.
"""

# B batch, C channels, H heads or height, W width, h w patches, P patch side
# T tokens, d width of a head, D = H d
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

# save attention probabilities on a CPU up to this number of tokens: at most 1/8 more memory per block
SHORT_TOKENS = 128
# images whose patches are converted to floats at a time
NUM_CONVERTED = 8


def use_fast_modules(tower: nn.Module) -> None:
    """Replace each suitable child module with a PatchConv or a SelfAttention, in place.

    Attention of timm chooses between its two ways to compute before each pass. Other convolutions keep their
    kernels in the channels_last memory format, as batches do. Parameters and their names stay the same, so
    state dicts do not change.
    """
    for parent in list(tower.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.Conv2d and _cuts_patches(child):
                setattr(parent, name, PatchConv(child))
            elif isinstance(child, nn.Conv2d):
                child.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            elif type(child) is nn.MultiheadAttention and _is_plain(child):
                setattr(parent, name, SelfAttention(child))
            elif getattr(child, "fused_attn", False):
                child.register_forward_pre_hook(_choose_attention)


def _choose_attention(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """Leave the fused kernel where its backward pass is slow: short sequences in bfloat16 on a CPU."""
    # a whole training step takes 0.4 to 0.7 of the time (17 to 65 tokens, Xeon with AMX, one thread)
    tokens = inputs[0]
    is_bfloat16 = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    is_short = tokens.ndim == 3 and tokens.shape[1] <= SHORT_TOKENS
    is_slow = is_bfloat16 and is_short and torch.is_grad_enabled() and is_eager_on_cpu(tokens)
    module.fused_attn = not is_slow  # type: ignore[assignment]


def _cuts_patches(convolution: nn.Conv2d) -> bool:
    side = convolution.kernel_size
    return (
        convolution.in_channels == 3
        and side[0] == side[1]
        and convolution.stride == side
        and convolution.padding in ((0, 0), 0, "valid")
        and convolution.dilation == (1, 1)
        and convolution.groups == 1
    )


def _is_plain(attention: nn.MultiheadAttention) -> bool:
    return (
        attention.batch_first
        and attention._qkv_same_embed_dim
        and attention.dropout == 0
        and attention.bias_k is None
        and not attention.add_zero_attn
    )


def is_recorded() -> bool:
    """Return whether torch.jit, torch.compile, torch.export or FakeTensorMode is tracing the call."""
    if torch.jit.is_tracing() or torch.compiler.is_compiling():
        return True  # the compiler cannot trace the next line
    return torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.FAKE) is not None


def is_eager_on_cpu(tensor: Tensor) -> bool:
    """Return whether operations on the tensor run eagerly on a CPU."""
    return tensor.device.type == "cpu" and not is_recorded()


def is_inference(module: nn.Module) -> bool:
    """Return whether a module is in eval mode and computes no gradients."""
    return not (module.training or torch.is_grad_enabled())


def read_block(block: Any, x: Tensor, read: Tensor, mask: Tensor) -> Tensor:
    """Return the output of open_clip's last block at some tokens, (N, D), without computing the others.

    Args:
        block: The block. Other modules, such as sharded ones or those with hooks, compute all tokens.
        x: Its input, (B, T, D).
        read: Flat indices of the tokens, int64 (N,).
        mask: Additive mask of the attention.
    """
    from open_clip.transformer import ResidualAttentionBlock

    if type(block) is not ResidualAttentionBlock or block._forward_hooks:
        return block(x, attn_mask=mask).flatten(0, 1).index_select(0, read)
    mixed = block.attention(block.ln_1(x), attn_mask=mask)
    mixed = mixed.flatten(0, 1).index_select(0, read)
    x = x.flatten(0, 1).index_select(0, read)
    x = x + block.ls_1(mixed)
    return x + block.ls_2(block.mlp(block.ln_2(x)))


class PatchConv(nn.Conv2d):
    """A convolution over non-overlapping patches, computed as a matrix product.

    Equivalent to nn.Conv2d, which traced passes use. In bfloat16, oneDNN's weight gradient is slow: forward
    and backward pass take 1.6 times as long as the product, for images of 224 pixels and patches of 32 (AMD
    EPYC, one thread). cuDNN has no fast kernel for 3 channels, and its gradient is not deterministic.

    Args:
        like: Convolution over square patches, whose parameters are shared.
    """

    normalization: tuple[Tensor, Tensor]  # factor and summand of the channels of uint8 images

    def __init__(self, like: nn.Conv2d) -> None:
        side = like.kernel_size[0]
        super().__init__(3, like.out_channels, side, stride=side, bias=like.bias is not None, device="meta")
        self.weight = like.weight
        self.bias = like.bias
        self.train(like.training)

    def forward(self, images: Tensor) -> Tensor:
        """Return features (B, D, h, w) of images (B, C, H, W)."""
        side = self.kernel_size[0]
        height, width = images.shape[-2:]
        if height % side or width % side or is_recorded():
            return super().forward(images)
        kernel = self.weight
        bias = self.bias
        if images.dtype == torch.uint8:  # cutting bytes is faster than cutting normalized floats
            gain, offset = self.normalization
            bias = (kernel * offset).sum(dim=(1, 2, 3)) + (0 if bias is None else bias)
            kernel = kernel * gain
        patches = images.unflatten(3, (-1, side)).unflatten(2, (-1, side))  # (B, C, h, P, w, P)
        if images.is_contiguous(memory_format=torch.channels_last):
            # copies pixels in memory order, with a permuted kernel
            rows = patches.permute(0, 2, 4, 3, 5, 1)
            kernel = kernel.permute(0, 2, 3, 1)
        else:
            rows = patches.permute(0, 2, 4, 1, 3, 5)
        rows = rows.flatten(3)
        kernel = kernel.flatten(1)
        if images.dtype == torch.uint8:  # the floats of all images would take four times the memory
            parts = [F.linear(part.to(kernel.dtype), kernel, bias) for part in rows.split(NUM_CONVERTED)]
            return torch.cat(parts).permute(0, 3, 1, 2)
        return F.linear(rows, kernel, bias).permute(0, 3, 1, 2)


class SelfAttention(nn.MultiheadAttention):
    """Self-attention that does not return attention weights. Other calls use nn.MultiheadAttention.

    Queries, keys and values are split in one step, whose backward pass does not allocate tensors of zeros.

    Args:
        like: Batch-first attention without dropout, whose parameters are shared.
    """

    def __init__(self, like: nn.MultiheadAttention) -> None:
        has_bias = like.in_proj_bias is not None
        super().__init__(like.embed_dim, like.num_heads, bias=has_bias, batch_first=True, device="meta")
        self.in_proj_weight = like.in_proj_weight
        self.in_proj_bias = like.in_proj_bias
        self.out_proj = like.out_proj
        self.train(like.training)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Return (B, T, D) and None if all three inputs are the same tensor; see nn.MultiheadAttention."""
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


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Return softmax(q k^T / sqrt(d) + mask) v, shape (B, H, T, d).

    Args:
        q: Queries, (B, H, T, d).
        k: Keys, (B, H, T, d).
        v: Values, (B, H, T, d).
        mask: Float (T, T), (B, 1, T, T) or (B, H, T, T), or None.
    """
    if is_eager_on_cpu(q) and q.dtype == torch.bfloat16 and q.shape[2] <= SHORT_TOKENS:
        return _ShortAttention.apply(q, k, v, mask)
    return F.scaled_dot_product_attention(q, k, v, None if mask is None else mask.to(q.dtype))


class _ShortAttention(torch.autograd.Function):
    """Attention that saves the probabilities, three to five times as fast as torch's fused kernel."""

    # measured in bfloat16 with 12 heads of 50 tokens and 3 heads of 65 tokens, width 64 (AMD EPYC, one
    # thread). Scores are float32, as in the fused kernel; probabilities and all gradients are bfloat16.

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
