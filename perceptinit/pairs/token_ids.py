"""Captions that come as token ids, padded by whoever stored them: cut to their real length and stack."""

from __future__ import annotations

# B batch, T tokens
from collections.abc import Sequence

import numpy as np
import torch


def trim_ids(ids: np.ndarray, context_length: int) -> np.ndarray:
    """Return the ids of one text without padding, int64 (T,), end token kept.

    Padding is a run of zeros at the end, or a run of repeated end tokens, as the CLIP tokenizer of
    `transformers` pads. A text longer than context_length is cut, its last id becomes the end token.
    """
    ids = np.trim_zeros(np.asarray(ids, dtype=np.int64), "b")
    while len(ids) > 1 and ids[-1] == ids[-2]:
        ids = ids[:-1]
    if len(ids) > context_length:
        ids = np.append(ids[: context_length - 1], ids[-1])
    return ids


def stack_ids(rows: Sequence[np.ndarray]) -> torch.Tensor:
    """Return rows of ids as int64 (B, T), padded with 0 to the longest; at least one column."""
    stacked = torch.zeros(len(rows), max(1, *map(len, rows)), dtype=torch.int64)
    for row, ids in zip(stacked, rows, strict=True):
        row[: len(ids)] = torch.from_numpy(ids)
    return stacked


def join_ids(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return parts (b, t) of a batch as one, int64 (B, T), padded with 0 to the longest."""
    width = max(part.shape[1] for part in parts)
    return torch.cat([torch.nn.functional.pad(part, (0, width - part.shape[1])) for part in parts])
