"""open_clip's text transformer, made to accept texts that are trimmed to their real length."""

from __future__ import annotations

# B batch, T tokens, D embedding, R rows of L tokens, W width, H heads
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from open_clip.transformer import TextTransformer
from torch import nn

from perceptinit.backbones.clip_tokenizer import ClipTokenizer
from perceptinit.backbones.fast_modules import is_recorded, use_fast_modules
from perceptinit.backbones.token_rows import TokenRows, token_rows
from perceptinit.compute.devices import to_device

# pools whose result is at a fixed token, so that what follows it cannot matter under a causal mask
POSITION_POOLS = ("first", "argmax", "eos")

# rows and tokens of a row are rounded up to these on a GPU, where attention may build a plan for each
# new shape (cuDNN: 40 to 400 ms), and takes masks of multiples of 8 as they are
GPU_MULTIPLES = (16, 8)

Tokenizer = Callable[..., torch.Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class PackedTexts:
    """Ids int64 (B, T), and the rows in which they go through a transformer; None: as they are.

    No tensor, so that FSDP, which brings a module's tensors to its GPU, leaves ids where their lengths are read.
    """

    tokens: torch.Tensor
    rows: TokenRows | None = None


class TextTower(nn.Module):
    """A text transformer with its tokenizer.

    transformer: maps token ids (B, context_length) to embeddings (B, D).
    tokenizer: called as `tokenizer(texts, context_length=n)`, gives ids int64 (B, n) that end with
    padding; texts that are too long keep their end token.

    A causal transformer that reads its result at one token gives the same embeddings without the padding,
    at a fraction of the cost: texts pass through it behind one another in rows, where a mask keeps them
    apart. Others are always given their full context.
    """

    def __init__(self, transformer: nn.Module, tokenizer: Tokenizer, context_length: int) -> None:
        super().__init__()
        use_fast_modules(transformer)
        self.transformer = transformer
        self.context_length = context_length
        self.can_be_trimmed = can_be_trimmed(transformer)
        self._tokenizer = tokenizer
        if self.can_be_trimmed:
            blocks = transformer.get_submodule("transformer")
            blocks.register_forward_pre_hook(_cut_mask, with_kwargs=True)

    def forward(self, tokens: torch.Tensor | PackedTexts) -> torch.Tensor:
        """Return text embeddings (B, D), not normalised, of ids or of what `packed` makes of them.

        tokens: int64 (B, T) with T up to context_length. They may lie on the CPU when the weights are on a
        GPU; then the host does not wait for the GPU to learn the lengths of the texts.

        Raises ValueError when T is larger.
        """
        texts = self.packed(tokens) if isinstance(tokens, torch.Tensor) else tokens
        if texts.rows is not None:
            return _forward_rows(self.transformer, texts.tokens, texts.rows, self._device)
        is_known = not (texts.tokens.is_meta or is_recorded())
        return self.transformer(to_device(texts.tokens, self._device) if is_known else texts.tokens)

    def packed(self, tokens: torch.Tensor) -> PackedTexts:
        """Return ids int64 (B, T) laid out in rows where that saves work; ValueError as from `forward`."""
        missing = self.context_length - tokens.shape[1]
        if missing < 0:
            raise ValueError(
                f"{tokens.shape[1]} tokens; the text tower takes {self.context_length}"
            )
        if missing and not self.can_be_trimmed:
            tokens = F.pad(tokens, (0, missing), value=_pad_id(self.transformer))
        # recorded for other texts, or only for its shapes: lengths mean nothing
        if tokens.is_meta or is_recorded() or not self.can_be_trimmed:
            return PackedTexts(tokens)
        tokens = tokens.cpu()
        lengths = (tokens.ne(0) * torch.arange(1, tokens.shape[1] + 1)).amax(dim=1).clamp(min=1)
        multiples = GPU_MULTIPLES if self._device.type == "cuda" else (1, 1)
        rows = token_rows(lengths.numpy(), *multiples)
        if len(rows.text) < len(tokens):
            return PackedTexts(tokens, rows)
        length = min(rows.text.shape[1], self.context_length)
        tokens = F.pad(tokens, (0, length - tokens.shape[1]))  # or cuts
        return PackedTexts(tokens)

    @property
    def _device(self) -> torch.device:
        return next(self.parameters()).device

    def tokenize(self, texts: Sequence[str]) -> torch.Tensor:
        """Return token ids int64 (B, T), end token kept.

        T is the length of the longest text, or context_length where trimming would change the
        embeddings. Padding is 0 (in the second case what the tokenizer gives).
        """
        ids = self._tokenizer(list(texts), context_length=self.context_length)
        if not self.can_be_trimmed:
            return ids
        used = ids.ne(0).any(dim=0).nonzero()
        return ids[:, : int(used[-1]) + 1] if len(used) else ids[:, :1]


def can_be_trimmed(transformer: nn.Module) -> bool:
    """Return whether cutting padding off leaves the embeddings as they are."""
    return (
        isinstance(transformer, TextTransformer)
        and transformer.attn_mask is not None
        and transformer.cls_emb is None
        and transformer.pool_type in POSITION_POOLS
    )


def _forward_rows(
    transformer: Any, tokens: torch.Tensor, rows: TokenRows, device: torch.device
) -> torch.Tensor:
    """Return what `transformer(tokens)` returns, from one pass over rows of several texts.

    tokens: on the CPU. device: of the transformer.
    """
    text, position, first = map(torch.from_numpy, (rows.text, rows.position, rows.first))
    # whatever stands at padding is not read
    ids = tokens[text.clamp(max=len(tokens) - 1), position]
    read = first + _pooled_position(transformer, tokens)
    ids, text, position, read = (to_device(t, device) for t in (ids, text, position, read))
    x = transformer.token_embedding(ids) + F.embedding(position, transformer.positional_embedding)
    x = transformer.transformer(x, attn_mask=_rows_mask(text, _mask_heads(transformer), x.dtype))
    x = transformer.ln_final(x.flatten(0, 1).index_select(0, read))
    projection = transformer.text_projection
    if projection is None:
        return x
    return projection(x) if isinstance(projection, nn.Module) else x @ projection


def _mask_heads(transformer: Any) -> int:
    """Return 0 where one mask does for all heads; their number where torch's own attention wants it for each."""
    is_torchs = any(type(module) is nn.MultiheadAttention for module in transformer.modules())
    return transformer.heads if is_torchs else 0


def _rows_mask(text: torch.Tensor, heads: int, dtype: torch.dtype) -> torch.Tensor:
    """Return the mask to be added, by which a token sees those before it in its own text.

    (R, 1, L, L) for 0 heads, else (R * H, L, L).
    """
    is_seen = (text[:, :, None] == text[:, None, :]).tril()
    mask = torch.zeros(is_seen.shape, dtype=dtype, device=text.device)
    mask.masked_fill_(~is_seen, -torch.inf)
    return mask.repeat_interleave(heads, 0) if heads else mask[:, None]


def _pooled_position(transformer: Any, tokens: torch.Tensor) -> torch.Tensor:
    """Return the position (B,) of the token at which each text's embedding is read."""
    if transformer.pool_type == "first":
        return tokens.new_zeros(len(tokens))
    if transformer.pool_type == "eos":
        tokens = tokens.eq(transformer.eos_id).int()
    return tokens.argmax(dim=1)


def _cut_mask(blocks: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    # open_clip cuts the position embedding to the length of the text, but not the causal mask
    length = args[0].shape[1]
    return args, {**kwargs, "attn_mask": kwargs["attn_mask"][..., :length, :length]}


def _pad_id(transformer: nn.Module) -> int:
    if isinstance(transformer, TextTransformer):
        return transformer.pad_id
    return transformer.config.pad_token_id  # type: ignore[union-attr, return-value]


@cache
def clip_tokenizer() -> Tokenizer:
    """Return CLIP's byte-pair tokenizer (49408 ids), read from open_clip's files once."""
    return ClipTokenizer()
