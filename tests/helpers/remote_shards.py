"""Shards in a bucket, and the batches that a loader makes of them."""

import io

import numpy as np
from PIL import Image

from helpers.tars import write_tar
from perceptinit.pairs.augment import Augment
from perceptinit.pairs.batches import fingerprint, stack_ids
from perceptinit.pairs.loader import PairLoader
from perceptinit.types import RunContext

NUM_SHARDS, PER_SHARD = 8, 12


def write_shard(path, number, size=24):
    rng = np.random.default_rng(number)
    members = []
    for sample in range(PER_SHARD):
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (size, size, 3), dtype=np.uint8)).save(file, "png")
        name = f"{number}_{sample}"
        members += [(f"{name}.png", file.getvalue()), (f"{name}.txt", f"image {name}".encode())]
    write_tar(path, members)


def loader(pairs, num_workers=0, seed=0, shuffle_blocks=2, **options):
    tokenize = lambda texts: stack_ids([np.frombuffer(t.encode(), np.uint8) for t in texts])  # noqa: E731
    return PairLoader(
        pairs,
        batch_size=8,
        image_size=16,
        tokenize=tokenize,
        context_length=77,
        ctx=RunContext(seed=seed, stage="pretrain"),
        augment=Augment(scale=(0.3, 1.0), flip=True),
        num_workers=num_workers,
        shuffle_blocks=shuffle_blocks,
        **options,
    )


def hashes(batches):
    found, last = [], ""
    for batch in batches:
        last = fingerprint(last, batch)
        found.append((last, batch.unusable))
    return found


def num_batches():
    return NUM_SHARDS * PER_SHARD // 8
