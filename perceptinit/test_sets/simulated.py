"""Test sets of rendered pictures, with labels or with captions: simulations."""

from __future__ import annotations

import numpy as np

from perceptinit.seeding import generator
from perceptinit.test_sets.sets import RetrievalSet, ZeroShotSet
from perceptinit.test_sets.suite import SYNTHETIC
from perceptinit.world.captions import caption
from perceptinit.world.factors import CLASSNAMES, draw_picture, label_of
from perceptinit.world.render import RenderedImages

TEMPLATES = ("the {c}", "one {c}", "a picture of the {c}", "here is one {c}")


def zero_shot_set(
    seed: int = 0, num_images: int = 1000, image_size: int = 32, first: int = 0
) -> ZeroShotSet:
    """Return pictures to be told apart by colour and shape: 64 classes, chance 1/64.

    All factors are drawn as for the pairs, under names of their own: no picture of the pairs or
    judgments occurs here. Every colour and shape is met in captions; a little over half of the captions name both.
    first: number of the first picture; those of two sets with disjoint numbers are independent.
    """
    pictures = [draw_picture(seed, "test-set", first + i) for i in range(num_images)]
    return ZeroShotSet(
        name=SYNTHETIC,
        classnames=CLASSNAMES,
        templates=TEMPLATES,
        images=RenderedImages(pictures, image_size),
        labels=np.array([label_of(picture) for picture in pictures], dtype=np.int64),
        keys=[f"synthetic-test/{first + i:05d}" for i in range(num_images)],
        simulated=True,
    )


def retrieval_set(
    seed: int = 0,
    num_images: int = 1000,
    image_size: int = 32,
    captions_per_image: int = 2,
    first: int = 0,
) -> RetrievalSet:
    """Return the pictures of `zero_shot_set` with captions as the pairs have them."""
    numbers = range(first, first + num_images)
    pictures = [draw_picture(seed, "test-set", i) for i in numbers]
    rngs = [generator(seed, "test-set", i, "captions") for i in numbers]
    return RetrievalSet(
        name=SYNTHETIC,
        images=RenderedImages(pictures, image_size),
        keys=[f"synthetic-test/{i:05d}" for i in numbers],
        captions=tuple(
            caption(picture, rng)
            for picture, rng in zip(pictures, rngs, strict=True)
            for _ in range(captions_per_image)
        ),
        owners=np.repeat(np.arange(num_images), captions_per_image),
        simulated=True,
    )
