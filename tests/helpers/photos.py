"""Pairs of random images for loaders; imports no heavy package, because processes load it."""

import io

import numpy as np
import torch
from PIL import Image

from perceptinit.pairs.augment import Augment
from perceptinit.pairs.batches import stack_ids
from perceptinit.pairs.loader import PairLoader
from perceptinit.types import Pair, RunContext

AUGMENT = Augment(scale=(0.3, 1.0), flip=True)


class Photos:
    """Pairs of a random image as PNG bytes and a caption of 1 to 3 words; some may be broken."""

    def __init__(self, num_pairs=40, broken=(), block_sizes=None, raises=None):
        self.num_pairs = num_pairs
        self.block_sizes = block_sizes or [num_pairs]
        self.broken = set(broken)
        self.raises = raises or {}

    def pair(self, index):
        if index in self.raises:
            raise self.raises[index]
        key = f"a.tar/{index:03d}"
        if index in self.broken:
            return Pair(key, b"no image", "text")
        pixels = np.random.default_rng(index).integers(0, 256, (20, 24, 3), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "png")
        return Pair(key, file.getvalue(), " ".join(["w"] * (index % 3 + 1)))


def tokenize(texts):
    """Return a one for each word of a text, followed by 9."""
    return stack_ids([np.array([1] * len(text.split()) + [9]) for text in texts])


def loader(pairs, batch_size=8, num_workers=0, seed=0, augment=AUGMENT, **options):
    options = {"tokenize": tokenize, "ctx": RunContext(seed=seed, stage="pretrain"), **options}
    return PairLoader(
        pairs,
        batch_size=batch_size,
        image_size=16,
        context_length=77,
        augment=augment,
        num_workers=num_workers,
        **options,
    )


def assert_same(ours, theirs):
    ours, theirs = list(ours), list(theirs)
    assert [b.keys for b in ours] == [b.keys for b in theirs]
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.tokens, b.tokens)
        assert a.unusable == b.unusable
