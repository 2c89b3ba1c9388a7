"""Simulated test sets: rendered pictures with labels or captions."""

from __future__ import annotations

import numpy as np

from perceptinit.seeding import generator
from perceptinit.test_sets.sets import RetrievalSet, ZeroShotSet
from perceptinit.test_sets.suite import SYNTHETIC, SyntheticSettings
from perceptinit.world.captions import caption
from perceptinit.world.factors import CLASSNAMES, draw_picture, label_of
from perceptinit.world.render import RenderedImages

TEMPLATES = ("the {c}", "one {c}", "a picture of the {c}", "here is one {c}")
_CAPTIONS_PER_IMAGE = 2


def render_set(
    settings: SyntheticSettings, split: str = "test", is_retrieval: bool = False
) -> ZeroShotSet | RetrievalSet:
    """Return rendered pictures, with labels of colour and shape (64 classes, chance 1/64) or with captions.

    Factors are drawn as for the pairs, under different names, so no picture of the pairs or judgments occurs
    here. Every colour and shape occurs in captions; slightly more than half of the captions name both. The
    pictures of the other splits follow those of the test split, so splits are disjoint.
    """
    first = settings.num_images * ("test", "train", "val").index(split)
    numbers = range(first, first + settings.num_images)
    pictures = [draw_picture(settings.seed, "test-set", i) for i in numbers]
    images = RenderedImages(pictures, settings.image_size)
    keys = [f"synthetic-test/{i:05d}" for i in numbers]
    if not is_retrieval:
        labels = np.array([label_of(picture) for picture in pictures], dtype=np.int64)
        return ZeroShotSet(SYNTHETIC, CLASSNAMES, TEMPLATES, images, labels, keys, simulated=True)
    rngs = [generator(settings.seed, "test-set", i, "captions") for i in numbers]
    captions = tuple(
        caption(picture, rng)
        for picture, rng in zip(pictures, rngs, strict=True)
        for _ in range(_CAPTIONS_PER_IMAGE)
    )
    owners = np.repeat(np.arange(len(pictures)), _CAPTIONS_PER_IMAGE)
    return RetrievalSet(SYNTHETIC, images, keys, captions, owners, simulated=True)
