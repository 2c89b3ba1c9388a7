"""What a batch of pairs is: its images, its token ids, and its fingerprint."""

from __future__ import annotations

# b rows of this process, B batch, T tokens, S height and width
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from perceptinit.compute import distributed
from perceptinit.pairs.unusable import Unusable

# pixel values of a whole batch that are hashed: enough to tell crops apart, cheap at any size
NUM_HASHED_PIXELS = 65536


@dataclass(frozen=True, slots=True, eq=False)
class PairBatch:
    """Images with their texts.

    images: uint8 (B, 3, S, S), in torch's channels_last memory format, as decoders write pixels; several
    rows for each sample where a loader makes several views.
    tokens: int64 (B, T), T of the longest text of the batch.
    keys: names of the samples. unusable: pairs that others replaced, in order.
    """

    images: torch.Tensor
    tokens: torch.Tensor
    keys: tuple[str, ...]
    unusable: tuple[Unusable, ...]


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


def fingerprint(before: str, batch: PairBatch) -> str:
    """Return the SHA-256 of the batches so far, from the one before and this batch.

    Covers keys, token ids and every n-th pixel value of each sample, in order.
    """
    num_rows = len(batch.keys) * distributed.world_size()
    shape = batch.images.shape[1:]
    every = max(1, shape.numel() * num_rows // NUM_HASHED_PIXELS) | 1  # odd: all columns
    channels, rows, columns = torch.unravel_index(torch.arange(0, shape.numel(), every), shape)
    pixels = batch.images[:, channels, rows, columns].reshape(len(batch.keys), -1).numpy()
    tokens = batch.tokens.numpy()
    digests = bytearray()
    for key, ids, values in zip(batch.keys, tokens, pixels, strict=True):
        used = ids[: int(ids.nonzero()[0].max(initial=-1)) + 1]  # padding depends on the others
        digest = hashlib.sha256(key.encode() + b"\x1f")
        digest.update(used.tobytes())
        digest.update(values.tobytes())
        digests += digest.digest()
    own = torch.frombuffer(digests, dtype=torch.uint8)
    whole = distributed.gather_rows(own).numpy().tobytes()
    return hashlib.sha256(before.encode() + whole).hexdigest()
