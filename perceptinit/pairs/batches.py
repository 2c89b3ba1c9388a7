"""Batches of pairs: images, token ids, fingerprints and unusable pairs."""

# b rows of this rank, B batch, T tokens, S height and width
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from perceptinit.compute import distributed
from perceptinit.errors import DataError

# number of pixel values hashed per batch: enough to distinguish crops, and cheap at any image size
NUM_HASHED_PIXELS = 65536
# number of unusable pairs that are reported individually; the rest are only counted
NUM_SAID = 10


@dataclass(frozen=True, slots=True)
class Unusable:
    """A pair that could not be read or decoded; `reason` names the sample."""

    index: int
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Part of a batch: token ids int64 (b, T), keys, and the pairs that were replaced."""

    tokens: np.ndarray
    keys: list[str]
    unusable: list[Unusable]


@dataclass(frozen=True, slots=True, eq=False)
class PairBatch:
    """A batch of images with their texts.

    Args:
        images: uint8 (B, 3, S, S) in the channels_last memory format; consecutive rows are the views of a
            sample.
        tokens: int64 (B, T), where T is the length of the longest text.
        keys: Names of the samples.
        unusable: Pairs that were replaced, in order.
    """

    images: torch.Tensor
    tokens: torch.Tensor
    keys: tuple[str, ...]
    unusable: tuple[Unusable, ...]


def trim_ids(ids: np.ndarray, context_length: int) -> np.ndarray:
    """Return the ids of one text without padding, int64 (T,), with its end token.

    Padding is a run of zeros or of repeated end tokens, as in the CLIP tokenizer of `transformers`. A text
    longer than `context_length` is truncated and keeps its last id.
    """
    ids = np.trim_zeros(np.asarray(ids, dtype=np.int64), "b")
    while len(ids) > 1 and ids[-1] == ids[-2]:
        ids = ids[:-1]
    if len(ids) > context_length:
        ids = np.append(ids[: context_length - 1], ids[-1])
    return ids


def stack_ids(rows: Sequence[np.ndarray]) -> torch.Tensor:
    """Stack rows of ids into int64 (B, T), padded with 0 to the longest row; T is at least 1."""
    stacked = np.zeros((len(rows), max(1, *map(len, rows))), dtype=np.int64)
    for row, ids in zip(stacked, rows, strict=True):
        row[: len(ids)] = ids
    return torch.from_numpy(stacked)


def join_ids(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """Concatenate the parts of a batch, each (b, t), into int64 (B, T), padded with 0 to the largest t."""
    width = max(part.shape[1] for part in parts)
    return torch.cat([torch.nn.functional.pad(part, (0, width - part.shape[1])) for part in parts])


def fingerprint(before: str, batch: PairBatch) -> str:
    """Return the running SHA-256 of all batches, updated with this batch.

    It covers keys, token ids and every n-th pixel value of each sample, in order.
    """
    num_rows = len(batch.keys) * distributed.world_size()
    shape = batch.images.shape[1:]
    every = max(1, shape.numel() * num_rows // NUM_HASHED_PIXELS) | 1  # odd, so that all columns are sampled
    channels, rows, columns = torch.unravel_index(torch.arange(0, shape.numel(), every), shape)
    pixels = batch.images[:, channels, rows, columns].reshape(len(batch.keys), -1).numpy()
    tokens = batch.tokens.numpy()
    digests = bytearray()
    for key, ids, values in zip(batch.keys, tokens, pixels, strict=True):
        used = ids[: int(ids.nonzero()[0].max(initial=-1)) + 1]  # padding depends on the other samples
        digest = hashlib.sha256(key.encode() + b"\x1f")
        digest.update(used.tobytes())
        digest.update(values.tobytes())
        digests += digest.digest()
    own = torch.frombuffer(digests, dtype=torch.uint8)
    whole = distributed.gather_rows(own).numpy().tobytes()
    return hashlib.sha256(before.encode() + whole).hexdigest()


class UnusablePairs:
    """The unusable pairs of a run.

    Attributes:
        indices: Indices of the distinct unusable pairs so far.
        num_replaced: Number of replacements so far.

    Args:
        num_pairs: Number of pairs in the source.
        max_share: Maximum share of unusable pairs.
        warn: Called with each warning.
    """

    def __init__(self, num_pairs: int, max_share: float, warn: Callable[[str], None]) -> None:
        self.indices: set[int] = set()
        self.num_replaced = 0
        self._num_pairs = num_pairs
        self._max_share = max_share
        self._warn = warn

    def note(self, found: Iterable[Unusable]) -> None:
        """Add the unusable pairs of one batch from all processes; DataError if there are too many."""
        own = [[item.index, item.reason] for item in found] or None
        for item in (Unusable(*row) for rows in distributed.exchange(own) for row in rows or ()):
            self.num_replaced += 1
            if item.index not in self.indices:
                self.indices.add(item.index)
                self._report(item.reason)

    def _report(self, reason: str) -> None:
        """Warn about an unusable pair; DataError if there are too many."""
        if len(self.indices) <= NUM_SAID:
            self._warn(f"{reason}. Replaced by a random pair, chosen with the run's seed")
        if len(self.indices) == NUM_SAID:
            self._warn("further unusable pairs are only counted (num_replaced)")
        if len(self.indices) > self._max_share * self._num_pairs:
            raise DataError(
                f"{len(self.indices)} of {self._num_pairs} pairs are unusable, more than "
                f"max_bad_share = {self._max_share:g} allows. Last error: {reason}"
            )
