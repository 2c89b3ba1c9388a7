"""What a batch of pairs is: its images, its token ids, its fingerprint, and the pairs that could not be used."""

from __future__ import annotations

# b rows of this process, B batch, T tokens, S height and width
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from perceptinit.compute import distributed
from perceptinit.errors import DataError

# pixel values of a whole batch that are hashed: enough to tell crops apart, cheap at any size
NUM_HASHED_PIXELS = 65536
# unusable pairs that are reported one by one; after that they are only counted
NUM_SAID = 10


@dataclass(frozen=True, slots=True)
class Unusable:
    """A pair that was met and could not be read or decoded; `reason` names the sample."""

    index: int
    reason: str


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


class UnusablePairs:
    """Keeps account of unusable pairs over a run.

    num_pairs: pairs in the source. max_share: share of them that may turn out unusable.
    warn: tells the user a sentence.
    indices: the different pairs found so far. num_replaced: draws that another pair replaced.
    """

    def __init__(self, num_pairs: int, max_share: float, warn: Callable[[str], None]) -> None:
        self.indices: set[int] = set()
        self.num_replaced = 0
        self._num_pairs = num_pairs
        self._max_share = max_share
        self._warn = warn

    def note(self, found: Iterable[Unusable]) -> None:
        """Take account of pairs of one batch, all processes together; DataError when there are too many."""
        own = [[item.index, item.reason] for item in found] or None
        for item in (Unusable(*row) for rows in distributed.exchange(own) for row in rows or ()):
            self.num_replaced += 1
            if item.index not in self.indices:
                self.indices.add(item.index)
                self._report(item.reason)

    def _report(self, reason: str) -> None:
        """Warn about an unusable pair; DataError when there are too many."""
        if len(self.indices) <= NUM_SAID:
            self._warn(f"{reason}; another pair, drawn by the seed, takes its place")
        if len(self.indices) == NUM_SAID:
            self._warn("further pairs that cannot be used are only counted (num_replaced)")
        if len(self.indices) > self._max_share * self._num_pairs:
            raise DataError(
                f"{len(self.indices)} of {self._num_pairs} pairs cannot be used, more than "
                f"max_bad_share = {self._max_share:g} allows; the last: {reason}"
            )
