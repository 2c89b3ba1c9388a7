"""A fingerprint of batches that is the same however many processes share them."""

from __future__ import annotations

# b rows of this process, B of all
import hashlib

import torch

from perceptinit.compute import distributed
from perceptinit.pairs.loader import PairBatch

# pixel values of a whole batch that are hashed: enough to tell crops apart, cheap at any size
NUM_HASHED_PIXELS = 65536


def fingerprint(before: str, batch: PairBatch) -> str:
    """Return the SHA-256 of the batches so far, from the one before and this batch.

    Covers keys, token ids and every n-th pixel value of each sample, in order.
    """
    num_rows = len(batch.keys) * distributed.world_size()
    shape = batch.images.shape[1:]
    every = max(1, shape.numel() * num_rows // NUM_HASHED_PIXELS) | 1  # odd: all columns
    channels, rows, columns = torch.unravel_index(torch.arange(0, shape.numel(), every), shape)
    pixels = batch.images[:, channels, rows, columns].numpy()
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
