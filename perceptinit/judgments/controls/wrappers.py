"""Wrappers that change the training split of other judgments: shuffled votes, pixel answers, subsets."""

# N training judgments, S height and width
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Gt, Le

from perceptinit.components.building import preflight
from perceptinit.configs import NonNegativeInt, PositiveInt
from perceptinit.judgments.forms.odd_one_out import OddOneOut, load_odd_one_out
from perceptinit.judgments.forms.splits import keep_share
from perceptinit.protocols import Judgments
from perceptinit.seeding import generator
from perceptinit.types import DataCard, Fit, Split, Triplets

CHUNK = 4096  # triplets whose pixels are in memory at once


class Wrapper(ABC):
    """Base class of wrappers; a subclass defines `about` and `change`. `val` and `test` are unchanged."""

    def __init__(self, config: Any, judgments: Judgments) -> None:
        self.config = config
        self.judgments = judgments

    @property
    @abstractmethod
    def about(self) -> str:
        """Description of the change to the training split, for the card's title."""

    @abstractmethod
    def change(self, triplets: Triplets) -> Triplets:
        """Return the changed training triplets."""

    @property
    def name(self) -> str:
        return self.judgments.name

    @property
    def card(self) -> DataCard:
        card = self.judgments.card
        return replace(card, title=f"{card.title}; {self.about}")

    def preflight(self) -> Iterable[str]:
        """Return the problems of the inner judgments."""
        return preflight(self.judgments)

    def load(self, split: Split) -> Triplets:
        """Return a split of the inner judgments, changed if it is `train`."""
        triplets = self.judgments.load(split)
        return self.change(triplets) if split == "train" else triplets


def source_of(judgments: Judgments, split: Split) -> Judgments:
    """Return the innermost wrapped judgments; for `train`, which wrappers change, return `judgments`."""
    while isinstance(judgments, Wrapper) and split != "train":
        judgments = judgments.judgments
    return judgments


def is_shuffled(judgments: Judgments) -> bool:
    """Return whether the training votes are shuffled."""
    return isinstance(judgments, Wrapper) and (
        isinstance(judgments, ShuffledVotes) or is_shuffled(judgments.judgments)
    )


class ShuffledVotes(Wrapper):
    """Other judgments whose training votes are permuted among the training triplets.

    Images, triplets and the distribution of votes are unchanged, but each triplet gets the `p_second` and
    `num_votes` of a random triplet. Votes then carry no information about similarity. Sides are randomized
    first: if one column listed all winners, a permutation alone would preserve every answer.

    `val` and `test` are unchanged. On them, the model should score like one that learned nothing from people.
    Training on noise can lower scores, so compare the arms `shuffled` and `random`.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        seed: NonNegativeInt = 0
        """Seed of the permutation. Independent of the run's seed: all runs share it."""

    config: Config
    about = "training votes shuffled (control)"

    def change(self, triplets: Triplets) -> Triplets:
        """Return the triplets with shuffled votes."""
        rng = generator(self.config.seed, "judgments", "shuffled-votes")
        is_turned = rng.random(len(triplets)) < 0.5
        p_second = np.where(is_turned, 1 - triplets.p_second, triplets.p_second)
        order = rng.permutation(len(triplets))
        return replace(triplets, p_second=p_second[order], num_votes=triplets.num_votes[order])

    def load_odd_one_out(self, split: Split) -> OddOneOut:
        """Return the inner odd-one-out judgments, with shuffled votes if the split is `train`."""
        judgments = load_odd_one_out(self.judgments, split)
        if split != "train":
            return judgments
        rng = generator(self.config.seed, "judgments", "shuffled-votes", "odd-one-out")
        votes = rng.permuted(judgments.votes, axis=1)
        return replace(judgments, votes=votes[rng.permutation(len(votes))])


class PixelTriplets(Wrapper):
    """Other judgments with computed training answers: the candidate with the smaller pixel distance wins.

    Images and triplets are unchanged, but each triplet has one computed vote. The pixel distance is the
    cosine distance between images squashed to a small square.

    `val` and `test` are unchanged. Loading `train` reads every training image.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        size: PositiveInt = 32
        """Height and width of the compared images, pixels."""

    config: Config
    about = "training answers computed from pixels (control)"

    @property
    def card(self) -> DataCard:
        return replace(super().card, by_people=False)

    def change(self, triplets: Triplets) -> Triplets:
        """Return the triplets with one vote by pixel distance; DataError for an unreadable image."""
        from perceptinit.images.stimuli import StimulusImages
        from perceptinit.judgments.two_afc import embed_judged

        images = StimulusImages(triplets.stimuli, self.config.size, fit=Fit("squash"))
        leads = []  # how much closer the pixels of the second candidate are
        for start in range(0, len(triplets), CHUNK):
            chunk = triplets.select(np.arange(start, min(start + CHUNK, len(triplets))))
            d_first, d_second = embed_judged(lambda batch: batch.flatten(1), chunk, images).distances(chunk)
            leads.append(d_first - d_second)
        p_second = (0.5 + 0.5 * np.sign(np.concatenate(leads))).astype(np.float32)
        return replace(triplets, p_second=p_second, num_votes=np.ones(len(triplets), dtype=np.int32))


class Subset(Wrapper):
    """Other judgments with a subset of their training split; `val` and `test` are unchanged.

    With the same seed, subsets are nested: the 50 % subset contains the 10 % subset. Counts are rounded up.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        fraction: Annotated[float, Gt(0), Le(1)]
        """Share of the training split, in (0, 1]."""
        by: Literal["group", "row"] = "group"
        """Sampling unit: groups (all judgments of an anchor or query) or single judgments."""
        seed: NonNegativeInt = 0
        """Seed of the subset. Independent of the run's seed: all runs share one subset."""

    config: Config

    @property
    def about(self) -> str:
        return f"{self.config.fraction:.3g} of the training {self.config.by}s"

    @property
    def card(self) -> DataCard:
        card = super().card
        num = card.num_train
        return replace(card, num_train=None if num is None else math.ceil(self.config.fraction * num))

    def change(self, triplets: Triplets) -> Triplets:
        """Return the subset."""
        return triplets.select(self._draw(triplets.group))

    def load_odd_one_out(self, split: Split) -> OddOneOut:
        """Return the inner odd-one-out judgments, or their subset if the split is `train`."""
        judgments = load_odd_one_out(self.judgments, split)
        return judgments.select(self._draw(judgments.group)) if split == "train" else judgments

    def _draw(self, group: np.ndarray) -> np.ndarray:
        c = self.config
        keys = group.tolist() if c.by == "group" else range(len(group))
        return keep_share(keys, c.fraction, c.seed, "judgments", "subset", c.by)
