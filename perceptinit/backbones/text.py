"""open_clip's text transformer and tokenizer, with trimmed texts that are packed into rows."""

# B or N texts, T tokens, D embedding, R rows of L tokens, W width, H heads
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from perceptinit.backbones.fast_modules import is_inference, is_recorded, read_block, use_fast_modules
from perceptinit.backbones.token_rows import TokenRows, round_up, shared_rows, token_rows
from perceptinit.compute.devices import to_device

# pooling at one token: with a causal mask, later tokens have no effect
POSITION_POOLS = ("first", "argmax", "eos")

# on a GPU, the number of rows and their length are rounded up to multiples of these: cuDNN plans each new
# shape (40 to 400 ms), and masks need multiples of 8
GPU_MULTIPLES = (16, 8)

Tokenizer = Callable[..., torch.Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class PackedTexts:
    """Token ids int64 (B, T), and their packing into rows or None.

    Not a tensor, because FSDP moves tensors to the GPU, but lengths are read on the CPU.
    """

    tokens: torch.Tensor
    rows: TokenRows | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Tokenization:
    """Tokenizes texts like a text tower, without holding its weights."""

    tokenizer: Tokenizer
    context_length: int
    can_be_trimmed: bool

    def __call__(self, texts: Sequence[str]) -> torch.Tensor:
        """Return token ids, int64 (B, T), always with the end token.

        T is the length of the longest text, or `context_length` if trimming would change the embeddings.
        """
        ids = self.tokenizer(list(texts), context_length=self.context_length)
        if not self.can_be_trimmed:
            return ids
        used = ids.ne(0).any(dim=0).nonzero()
        return ids[:, : int(used[-1]) + 1] if len(used) else ids[:, :1]


class TextTower(nn.Module):
    """A text transformer with its tokenizer.

    A causal transformer with pooling at one token gives the same embeddings without padding. Several texts
    then share a row, separated by a mask, which is much faster. Other transformers process the full context.

    Args:
        transformer: Maps token ids (B, context_length) to embeddings (B, D).
        tokenizer: Called as `tokenizer(texts, context_length=n)`. Returns ids int64 (B, n), padded at the
            end; truncated texts keep the end token.
        context_length: Maximum number of tokens in a text.
    """

    def __init__(self, transformer: nn.Module, tokenizer: Tokenizer, context_length: int) -> None:
        super().__init__()
        use_fast_modules(transformer)
        self.transformer = transformer
        self.context_length = context_length
        self.can_be_trimmed = can_be_trimmed(transformer)
        self.tokenize = Tokenization(tokenizer, context_length, self.can_be_trimmed)
        if self.can_be_trimmed:
            blocks = transformer.get_submodule("transformer")
            blocks.register_forward_pre_hook(_cut_mask, with_kwargs=True)

    def forward(self, tokens: torch.Tensor | PackedTexts) -> torch.Tensor:
        """Return text embeddings (B, D), not normalized.

        Args:
            tokens: Ids int64 (B, T) with T up to context_length, or the result of `pack`. Ids on the CPU
                avoid a synchronization with the GPU to read the lengths.

        Raises:
            ValueError: If T is larger than context_length.
        """
        texts = self.pack(tokens) if isinstance(tokens, torch.Tensor) else tokens
        if texts.rows is not None:
            return _forward_rows(self.transformer, texts.tokens, texts.rows, self._device)
        is_known = not (texts.tokens.is_meta or is_recorded())
        found = self.transformer(to_device(texts.tokens, self._device) if is_known else texts.tokens)
        return found.mean(dim=1) if found.ndim == 3 else found  # (B, T, D) with pool_type = "none"

    def pack(self, tokens: torch.Tensor) -> PackedTexts:
        """Return ids int64 (B, T), packed into rows if this saves work; ValueError as in `forward`."""
        missing = self.context_length - tokens.shape[1]
        if missing < 0:
            raise ValueError(f"got {tokens.shape[1]} tokens, but context_length is {self.context_length}")
        if missing and not self.can_be_trimmed:
            tokens = F.pad(tokens, (0, missing), value=self._pad_id)
        # a trace is reused for other texts, so it must not depend on these lengths
        if tokens.is_meta or is_recorded() or not self.can_be_trimmed:
            return PackedTexts(tokens)
        tokens = tokens.cpu()
        lengths = (tokens.ne(0) * torch.arange(1, tokens.shape[1] + 1)).amax(dim=1).clamp(min=1).numpy()
        multiples = GPU_MULTIPLES if self._device.type == "cuda" else (1, 1)
        length = round_up(int(lengths.max()), multiples[1])
        if is_inference(self):
            read = _find_read_position(self.transformer, tokens)
            rows = shared_rows(tokens.numpy(), lengths, read.numpy(), *multiples)
        else:
            rows = token_rows(lengths, *multiples)
        if rows.text.size < len(tokens) * length:
            return PackedTexts(tokens, rows)
        length = min(length, self.context_length)
        tokens = F.pad(tokens, (0, length - tokens.shape[1]))  # or truncates
        return PackedTexts(tokens)

    @property
    def _device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def _pad_id(self) -> int:
        from open_clip.transformer import TextTransformer

        own: Any = self.transformer
        return own.pad_id if isinstance(own, TextTransformer) else own.config.pad_token_id


def can_be_trimmed(transformer: nn.Module) -> bool:
    """Return whether the embeddings do not depend on padding."""
    from open_clip.transformer import TextTransformer

    return (
        isinstance(transformer, TextTransformer)
        and transformer.attn_mask is not None
        and transformer.cls_emb is None
        and transformer.pool_type in POSITION_POOLS
    )


def _forward_rows(
    transformer: Any, tokens: torch.Tensor, rows: TokenRows, device: torch.device
) -> torch.Tensor:
    """Return `transformer(tokens)` for tokens on the CPU, computed on packed rows."""
    text, position, end, first = map(torch.from_numpy, (rows.text, rows.position, rows.end, rows.first))
    # values at padding are not used
    ids = tokens[text.clamp(max=len(tokens) - 1), position]
    read = first + _find_read_position(transformer, tokens)
    ids = to_device(ids, device)
    position = to_device(position, device)
    end = to_device(end, device)
    read = to_device(read, device)
    x = transformer.token_embedding(ids) + F.embedding(position, transformer.positional_embedding)
    # autocast would convert a float32 mask in each block
    is_converted = x.is_cuda and torch.is_autocast_enabled("cuda")
    dtype = torch.get_autocast_dtype("cuda") if is_converted else x.dtype
    mask = _rows_mask(end, transformer, dtype)
    blocks = transformer.transformer.resblocks
    if is_inference(transformer):
        for block in blocks[:-1]:
            x = block(x, attn_mask=mask)
        x = read_block(blocks[-1], x, read, mask)
    else:
        x = transformer.transformer(x, attn_mask=mask).flatten(0, 1).index_select(0, read)
    x = transformer.ln_final(x)
    projection = transformer.text_projection
    if projection is None:
        return x
    return projection(x) if isinstance(projection, nn.Module) else x @ projection


def _rows_mask(end: torch.Tensor, transformer: Any, dtype: torch.dtype) -> torch.Tensor:
    """Return an additive mask that is causal within each text, from `TokenRows.end`.

    Its shape is (R * H, L, L) for torch's attention, else (R, 1, L, L).
    """
    place = torch.arange(end.shape[1], device=end.device)
    is_seen = (place[:, None] < end[:, None, :]).tril()
    mask = torch.zeros(is_seen.shape, dtype=dtype, device=end.device)
    mask.masked_fill_(~is_seen, -torch.inf)
    if any(type(module) is nn.MultiheadAttention for module in transformer.modules()):
        return mask.repeat_interleave(transformer.heads, 0)
    return mask[:, None]


def _find_read_position(transformer: Any, tokens: torch.Tensor) -> torch.Tensor:
    """Return the position (B,) of the pooled token in each text."""
    if transformer.pool_type == "first":
        return tokens.new_zeros(len(tokens))
    if transformer.pool_type == "eos":
        tokens = tokens.eq(transformer.eos_id).int()
    return tokens.argmax(dim=1)


def _cut_mask(blocks: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    # open_clip truncates the position embedding to the length of the text, but not the causal mask
    length = args[0].shape[1]
    return args, {**kwargs, "attn_mask": kwargs["attn_mask"][..., :length, :length]}
