"""A labelled test set of rendered pictures for zero-shot classification: a simulation."""

from __future__ import annotations

import numpy as np

from perceptinit.evaluators.sets import ZeroShotSet
from perceptinit.world.factors import COLOURS, SHAPES, draw_picture
from perceptinit.world.render import RenderedImages

NAME = "synthetic"
CLASSNAMES = tuple(f"{colour} {shape}" for colour in COLOURS for shape in SHAPES)
TEMPLATES = ("the {c}", "one {c}", "a picture of the {c}", "here is one {c}")


def zero_shot_set(seed: int = 0, num_images: int = 1000, image_size: int = 32) -> ZeroShotSet:
    """Return pictures to be told apart by colour and shape: 64 classes, chance 1/64.

    All factors are drawn as for the pairs, under names of their own: no picture of the pairs or
    judgments occurs here. Every colour and shape is met in captions, few captions name both.
    """
    pictures = [draw_picture(seed, "test-set", i) for i in range(num_images)]
    names = [f"{p.thing.colour} {p.thing.shape}" for p in pictures]
    return ZeroShotSet(
        name=NAME,
        classnames=CLASSNAMES,
        templates=TEMPLATES,
        images=RenderedImages(pictures, image_size),
        labels=np.array([CLASSNAMES.index(name) for name in names], dtype=np.int64),
        keys=[f"synthetic-test/{i:05d}" for i in range(num_images)],
        simulated=True,
    )
