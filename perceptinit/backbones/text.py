"""open_clip's text transformer and tokenizer, for texts that are trimmed and packed into rows."""

from __future__ import annotations

# B or N texts, T tokens, D embedding, R rows of L tokens, W width, H heads
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import chain
from typing import Any

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from open_clip.transformer import TextTransformer
from torch import nn

from perceptinit.backbones.fast_modules import is_recorded, use_fast_modules
from perceptinit.compute.devices import to_device

# pools whose result is at a fixed token, so that what follows it cannot matter under a causal mask
POSITION_POOLS = ("first", "argmax", "eos")

# rows and tokens of a row are rounded up to these on a GPU, where attention may build a plan for each
# new shape (cuDNN: 40 to 400 ms), and takes masks of multiples of 8 as they are
GPU_MULTIPLES = (16, 8)

Tokenizer = Callable[..., torch.Tensor]
# distinct words whose ids are remembered
NUM_WORDS = 2**17


@dataclass(frozen=True, slots=True, eq=False)
class PackedTexts:
    """Ids int64 (B, T), and the rows in which they go through a transformer; None: as they are.

    Not a tensor: FSDP moves a module's tensors to its GPU, and lengths are read on the CPU.
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
        """Return text embeddings (B, D), not normalised, of ids or of what `pack` makes of them.

        tokens: int64 (B, T) with T up to context_length. They may lie on the CPU when the weights are on a
        GPU; then the host does not wait for the GPU to learn the lengths of the texts.

        Raises ValueError when T is larger.
        """
        texts = self.pack(tokens) if isinstance(tokens, torch.Tensor) else tokens
        if texts.rows is not None:
            return _forward_rows(self.transformer, texts.tokens, texts.rows, self._device)
        is_known = not (texts.tokens.is_meta or is_recorded())
        return self.transformer(to_device(texts.tokens, self._device) if is_known else texts.tokens)

    def pack(self, tokens: torch.Tensor) -> PackedTexts:
        """Return ids int64 (B, T) laid out in rows where that saves work; ValueError as from `forward`."""
        missing = self.context_length - tokens.shape[1]
        if missing < 0:
            raise ValueError(f"{tokens.shape[1]} tokens; the text tower takes {self.context_length}")
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
    read = first + _find_read_position(transformer, tokens)
    ids, text, position, read = (to_device(t, device) for t in (ids, text, position, read))
    x = transformer.token_embedding(ids) + F.embedding(position, transformer.positional_embedding)
    x = transformer.transformer(x, attn_mask=_rows_mask(text, transformer, x.dtype))
    x = transformer.ln_final(x.flatten(0, 1).index_select(0, read))
    projection = transformer.text_projection
    if projection is None:
        return x
    return projection(x) if isinstance(projection, nn.Module) else x @ projection


def _rows_mask(text: torch.Tensor, transformer: Any, dtype: torch.dtype) -> torch.Tensor:
    """Return the mask to be added, by which a token sees those before it in its own text.

    (R * H, L, L) for torch's own attention, which needs a mask for each head, else (R, 1, L, L).
    """
    is_seen = (text[:, :, None] == text[:, None, :]).tril()
    mask = torch.zeros(is_seen.shape, dtype=dtype, device=text.device)
    mask.masked_fill_(~is_seen, -torch.inf)
    if any(type(module) is nn.MultiheadAttention for module in transformer.modules()):
        return mask.repeat_interleave(transformer.heads, 0)
    return mask[:, None]


def _find_read_position(transformer: Any, tokens: torch.Tensor) -> torch.Tensor:
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


class ClipTokenizer(open_clip.SimpleTokenizer):
    """open_clip's tokenizer of CLIP (49408 ids), remembering words and leaving plain texts uncleaned.

    Cleaning (mended encodings, HTML entities) changes no printable ASCII text without "&".
    """

    def __init__(self) -> None:
        super().__init__()
        self._word_ids = lru_cache(NUM_WORDS)(self._find_word_ids)

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, without start and end token."""
        if text.isascii() and text.isprintable() and "&" not in text:
            text = " ".join(text.split()).lower()
        else:
            text = self.clean_fn(text)
        return list(chain.from_iterable(map(self._word_ids, self.pat.findall(text))))

    def __call__(self, texts: str | Sequence[str], context_length: int | None = None) -> torch.Tensor:
        """Return ids int64 (B, T) that end with zeros, T = context_length, 77 by default.

        A text that is too long keeps its end token.
        """
        length = context_length or self.context_length
        rows = [self.encode(text) for text in ([texts] if isinstance(texts, str) else texts)]
        ids = np.zeros((len(rows), length), dtype=np.int64)
        for row, words in zip(ids, rows, strict=True):
            tokens = [self.sot_token_id, *words][: length - 1]
            tokens.append(self.eot_token_id)
            row[: len(tokens)] = tokens
        return torch.from_numpy(ids)

    def _find_word_ids(self, word: str) -> tuple[int, ...]:
        characters = "".join(self.byte_encoder[byte] for byte in word.encode())
        return tuple(self.encoder[part] for part in self.bpe(characters).split(" "))


@dataclass(frozen=True, slots=True, eq=False)
class TokenRows:
    """Where each token of texts (N, T) stands in rows (R, L).

    text: int64 (R, L), number of the text a place belongs to, N for padding. position: int64 (R, L), the
    token's position in its text, 0 for padding. first: int64 (N,), place r * L + l of each
    text's first token.
    """

    text: np.ndarray
    position: np.ndarray
    first: np.ndarray


def token_rows(lengths: np.ndarray, rows_multiple: int = 1, length_multiple: int = 1) -> TokenRows:
    """Lay texts into rows as long as the longest of them, none of them split.

    lengths: int (N,), tokens of each text, at least 1. rows_multiple, length_multiple: R and L are rounded up
    to multiples of these, so that batches have few different shapes. Each text, the longest first, goes
    into the row that it fills best ("best fit decreasing"), at most 22 % more rows than the fewest
    (Johnson et al. 1974).
    """
    row_length = _round_up(int(lengths.max()), length_multiple)
    with_space: list[list[int]] = [[] for _ in range(row_length + 1)]  # rows, by their free places
    rows = np.empty(len(lengths), dtype=np.int64)
    starts = np.empty(len(lengths), dtype=np.int64)
    num_rows = 0
    for text in np.argsort(-lengths, kind="stable").tolist():
        length = int(lengths[text])
        space = next((s for s in range(length, row_length) if with_space[s]), row_length)
        if with_space[space]:
            row = with_space[space].pop()
        else:
            row, num_rows = num_rows, num_rows + 1
        rows[text], starts[text] = row, row_length - space
        with_space[space - length].append(row)
    first = rows * row_length + starts
    number = np.repeat(np.arange(len(lengths)), lengths)
    position = np.arange(len(number)) - np.repeat(lengths.cumsum() - lengths, lengths)
    place = first[number] + position
    shape = _round_up(num_rows, rows_multiple), row_length
    return TokenRows(
        text=_scatter_rows(number, place, shape, len(lengths)),
        position=_scatter_rows(position, place, shape, 0),
        first=first,
    )


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def _scatter_rows(values: np.ndarray, place: np.ndarray, shape: tuple[int, int], padding: int) -> np.ndarray:
    """Return int64 rows of `shape` with the values at their places."""
    rows = np.full(shape, padding, dtype=np.int64)
    rows.reshape(-1)[place] = values
    return rows
