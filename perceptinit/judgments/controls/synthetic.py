"""Simulated 2AFC judgments of rendered images (`synthetic`), without human data.

The image-text pairs and the test set called `synthetic` use the same renderer and factors. Random streams
differ, so the splits, the pairs and the test set have no image in common.
"""

from __future__ import annotations

# N triplets with three images each
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from perceptinit.configs import DrawnSide, NonNegativeInt, NumDrawn, PositiveInt
from perceptinit.judgments.forms.drawing import Votes
from perceptinit.judgments.forms.splits import SPLITS, Conventions
from perceptinit.seeding import generator
from perceptinit.types import DataCard, Split, Stimuli, Triplets
from perceptinit.world.factors import ImageFactors, Thing, draw_factors, draw_rgb
from perceptinit.world.observers import Observers, differences
from perceptinit.world.render import RenderedImages

# Probability that a candidate copies a factor of the anchor, the same for both candidates. Triplets range
# from easy ones to near ties, and copied scenes mislead pixel comparisons.
P_SAME = 0.4

ROLES = ("anchor", "first", "second")


class SyntheticJudgments:
    """Votes of simulated observers on which of two rendered objects looks more like a third."""

    name = "synthetic"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        seed: NonNegativeInt = 0
        """Seed of the images and observers. Independent of the run's seed: all runs share one data set."""
        image_size: DrawnSide = 32
        """Height and width of the images, pixels."""
        num_train: NumDrawn = 2000
        """Number of training triplets, with three images each."""
        num_val: NumDrawn = 500
        """Number of validation triplets."""
        num_test: NumDrawn = 1000
        """Number of test triplets."""
        num_observers: PositiveInt = 40
        """Number of observers, shared by all splits."""
        min_votes: PositiveInt = 5
        """Minimum number of votes per triplet."""
        max_votes: PositiveInt = 9
        """Maximum number of votes per triplet."""

        def __post_init__(self) -> None:
            if not self.min_votes <= self.max_votes <= self.num_observers:
                raise ValueError(
                    "set min_votes <= max_votes <= num_observers, got "
                    f"{self.min_votes}, {self.max_votes} and {self.num_observers}"
                )

        def smoke(self) -> SyntheticJudgments.Config:
            """Return a copy with a few dozen triplets."""
            return replace(self, num_train=48, num_val=24, num_test=24)

    def __init__(self, config: Config) -> None:
        self.config = config

    conventions: ClassVar[Conventions] = Conventions(sides="random", ties="retained", winner_first="no")

    @property
    def card(self) -> DataCard:
        c = self.config
        return DataCard(
            title="Simulated similarity judgments of rendered shapes (no human data)",
            source_url="built in: perceptinit.world",
            license="Apache-2.0",
            citation="simulated by perceptinit",
            num_judgments=c.num_train + c.num_val + c.num_test,
            simulated=True,
        )

    def load(self, split: Split) -> Triplets:
        """Return the triplets of a split; images are rendered on access."""
        c = self.config
        counts = {"train": c.num_train, "val": c.num_val, "test": c.num_test}
        # splits share no anchors, so group ids are offset to be unique across splits
        count = counts[split]
        first_group = sum(list(counts.values())[: SPLITS.index(split)])
        rows = [draw_triplet(c.seed, split, i) for i in range(count)]
        p_second, num_votes = self._ask(split, rows)
        ids = tuple(f"{split}-{i:05d}-{role}" for i in range(count) for role in ROLES)
        images = RenderedImages([each for row in rows for each in row], c.image_size)
        anchor = np.arange(count) * len(ROLES)
        group = first_group + np.arange(count)
        stimuli = Stimuli(ids, images)
        return Triplets.build(stimuli, anchor, anchor + 1, anchor + 2, p_second, num_votes, group)

    def _ask(self, split: Split, rows: Sequence[tuple[ImageFactors, ...]]) -> Votes:
        """Return p_second (N,) and num_votes (N,), with a random sample of observers for each triplet."""
        c = self.config
        crowd = Observers.draw(c.num_observers, generator(c.seed, "judgments", "observers"))
        anchors, firsts, seconds = ([each.thing for each in role] for role in zip(*rows, strict=True))
        to_first = differences(anchors, firsts)
        to_second = differences(anchors, seconds)
        # one generator per triplet, so that its votes do not depend on the size of the split
        rngs = [generator(c.seed, "judgments", split, i, "votes") for i in range(len(rows))]
        bounds = c.min_votes, c.max_votes
        num_votes = np.array([rng.integers(*bounds, endpoint=True) for rng in rngs])
        votes = map(crowd.ask, to_first, to_second, num_votes, rngs)
        return np.array(list(votes)) / num_votes, num_votes


def draw_triplet(seed: int, split: str, index: int) -> tuple[ImageFactors, ImageFactors, ImageFactors]:
    """Return the factors of a triplet's images: anchor, first, second."""
    anchor, first, second = (draw_factors(seed, "judgments", split, index, role) for role in ROLES)
    rng = generator(seed, "judgments", split, index, "shared")
    return anchor, _relate(first, anchor, rng), _relate(second, anchor, rng)


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
