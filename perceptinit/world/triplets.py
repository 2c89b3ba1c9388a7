"""Triplets of simulated objects and the votes of observers on them."""

# N triplets with three images each
from dataclasses import replace
from functools import lru_cache

import numpy as np

from perceptinit.seeding import generator
from perceptinit.world.factors import ImageFactors, Thing, draw_factors, draw_rgb
from perceptinit.world.observers import Observers, differences
from perceptinit.world.pictures import HASH_BYTES, keep_rows

# Probability that a candidate copies a factor of the anchor, the same for both candidates. Triplets range
# from easy ones to near ties, and copied scenes mislead pixel comparisons.
P_SAME = 0.4

ROLES = ("anchor", "first", "second")


@lru_cache(maxsize=16)  # its three images are rendered one after another
def draw_triplet(seed: int, split: str, index: int) -> tuple[ImageFactors, ImageFactors, ImageFactors]:
    """Return the factors of a triplet's images: anchor, first, second."""
    anchor, first, second = (draw_factors(seed, "judgments", split, index, role) for role in ROLES)
    rng = generator(seed, "judgments", split, index, "shared")
    return anchor, _relate(first, anchor, rng), _relate(second, anchor, rng)


def draw_role(seed: int, split: str, number: int) -> ImageFactors:
    """Return the factors of image `number` of a split: role `number % 3` of triplet `number // 3`."""
    return draw_triplet(seed, split, number // len(ROLES))[number % len(ROLES)]


def _relate(candidate: ImageFactors, anchor: ImageFactors, rng: np.random.Generator) -> ImageFactors:
    """Return the candidate with random factors copied from the anchor; a copied color gets a new shade."""
    own = candidate.thing
    other = anchor.thing
    shape, colour, texture, scene = rng.random(4) < P_SAME
    thing = Thing(
        other.shape if shape else own.shape,
        other.texture if texture else own.texture,
        other.colour if colour else own.colour,
        draw_rgb(other.colour, rng) if colour else own.rgb,
    )
    return replace(candidate, thing=thing, scene=anchor.scene if scene else candidate.scene)


def keep_votes(
    seed: int, split: str, count: int, num_observers: int, bounds: tuple[int, int], image_size: int
) -> np.ndarray:
    """Return the votes for the second image and all votes on each triplet, int64 (2, N).

    They are computed once a machine and kept with the pictures of this size.

    Args:
        seed: Seed of the triplets and the observers.
        split: The split.
        count: Number of triplets, N.
        num_observers: Number of observers.
        bounds: Smallest and largest number of observers who vote on a triplet.
        image_size: Height and width of the pictures.
    """
    rows = keep_rows(
        ("votes", seed, num_observers, *bounds, split),
        image_size,
        (count, 16),
        lambda: map(np.ndarray.tobytes, _vote(seed, split, count, num_observers, bounds)),
    )
    return np.ascontiguousarray(rows[:, HASH_BYTES:]).view(np.int64).T


def _vote(seed: int, split: str, count: int, num_observers: int, bounds: tuple[int, int]) -> np.ndarray:
    """Return the votes of a random sample of observers for each triplet, int64 (N, 2)."""
    observers = Observers.draw(num_observers, generator(seed, "judgments", "observers"))
    triplets = [draw_triplet(seed, split, index) for index in range(count)]
    anchors, firsts, seconds = ([each.thing for each in role] for role in zip(*triplets, strict=True))
    to_first = differences(anchors, firsts)
    to_second = differences(anchors, seconds)
    # one generator per triplet, so that its votes do not depend on the size of the split
    rngs = [generator(seed, "judgments", split, index, "votes") for index in range(count)]
    num_votes = [int(rng.integers(*bounds, endpoint=True)) for rng in rngs]
    votes = map(observers.ask, to_first, to_second, num_votes, rngs)
    return np.column_stack([list(votes), num_votes]).astype(np.int64)
