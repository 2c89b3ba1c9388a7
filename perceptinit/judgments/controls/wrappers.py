"""Judgments around others that change their training split: votes at random, votes by pixels, a share of them."""

from __future__ import annotations

# N training judgments, S height and width
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
from perceptinit.types import DataCard, Split, Triplets

CHUNK = 4096  # triplets whose pixels are held at once


class Wrapper(ABC):
    """Gives `val` and `test` of the inner judgments as they are; a child gives `about` and `change`."""

    def __init__(self, config: Any, judgments: Judgments) -> None:
        self.config, self.judgments = config, judgments

    @property
    @abstractmethod
    def about(self) -> str:
        """What is done to the training split, for the card's title."""

    @abstractmethod
    def change(self, triplets: Triplets) -> Triplets:
        """Return the training triplets as they are to be."""

    @property
    def name(self) -> str:
        return self.judgments.name

    @property
    def card(self) -> DataCard:
        card = self.judgments.card
        return replace(card, title=f"{card.title}; {self.about}")

    def preflight(self) -> Iterable[str]:
        """Return what would make the inner judgments fail."""
        return preflight(self.judgments)

    def load(self, split: Split) -> Triplets:
        """Return the inner split, changed if it is `train`; raises as the inner judgments do."""
        triplets = self.judgments.load(split)
        return self.change(triplets) if split == "train" else triplets


def source_of(judgments: Judgments, split: Split) -> Judgments:
    """Return the judgments that a split is taken from: inside wrappers, but for `train`, which they change."""
    while isinstance(judgments, Wrapper) and split != "train":
        judgments = judgments.judgments
    return judgments


class ShuffledVotes(Wrapper):
    """Other judgments whose training votes are permuted among the training triplets.

    Images, triplets, how many people judged and how far they agreed stay as they were, as a set; who
    agreed about what is gone: each triplet gets `p_second` and `num_votes` of another one. Sides are
    drawn anew first. Without that, a table whose winners all stand in one column would still say
    the truth after any permutation. So the votes carry no information on similarity.

    `val` and `test` are left true: 2AFC on them should be that of a model that learnt nothing from
    people. Training on noise is not neutral, it can do harm; read `shuffled` beside `random`.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        seed: NonNegativeInt = 0
        """Names the permutation. Not the run's seed: all runs share one permutation."""

    config: Config
    about = "training votes shuffled (control)"

    def change(self, triplets: Triplets) -> Triplets:
        """Return the triplets with their votes dealt at random."""
        rng = generator(self.config.seed, "judgments", "shuffled-votes")
        is_turned = rng.random(len(triplets)) < 0.5
        p_second = np.where(is_turned, 1 - triplets.p_second, triplets.p_second)
        order = rng.permutation(len(triplets))
        return replace(triplets, p_second=p_second[order], num_votes=triplets.num_votes[order])

    def load_odd_one_out(self, split: Split) -> OddOneOut:
        """Return the inner odd-one-out judgments, votes shuffled if the split is `train`."""
        judgments = load_odd_one_out(self.judgments, split)
        if split != "train":
            return judgments
        rng = generator(self.config.seed, "judgments", "shuffled-votes", "odd-one-out")
        votes = rng.permuted(judgments.votes, axis=1)
        return replace(judgments, votes=votes[rng.permutation(len(votes))])


class PixelTriplets(Wrapper):
    """Other judgments whose training answers are those of pixels: the candidate with the nearer pixels wins.

    Images, triplets and their number stay as they were; who answers is not a person but the cosine
    distance of the colours of all pixels, of the images squashed to a small square. So the triplets
    teach a similarity of the same form that knows nothing of people. Each has one vote.

    `val` and `test` are left true. Every training image is read when `train` is loaded.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        size: PositiveInt = 32
        """Height and width that images are compared at, pixels."""

    config: Config
    about = "training answers by pixels (control)"

    @property
    def card(self) -> DataCard:
        return replace(super().card, by_people=False)

    def change(self, triplets: Triplets) -> Triplets:
        """Return the triplets with one vote for the nearer pixels; DataError for a broken image."""
        from perceptinit.images.stimuli import StimulusImages
        from perceptinit.judgments.two_afc import embed_judged

        images = StimulusImages(triplets.stimuli, self.config.size)
        leads = []  # how much nearer the pixels of the second candidate are
        for start in range(0, len(triplets), CHUNK):
            chunk = triplets.select(np.arange(start, min(start + CHUNK, len(triplets))))
            pixels = embed_judged(lambda batch: batch.flatten(1), chunk, images)
            d_first, d_second = pixels.distances(chunk)
            leads.append(d_first - d_second)
        p_second = np.float32(0.5) + np.float32(0.5) * np.sign(np.concatenate(leads))
        num_votes = np.ones(len(triplets), dtype=np.int32)
        return replace(triplets, p_second=p_second.astype(np.float32), num_votes=num_votes)


class Subset(Wrapper):
    """Other judgments with part of their training split; `val` and `test` stay whole.

    Shares are nested: with one seed, the 10 % are among the 50 %. The count is rounded up, so that
    a subset is never empty.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        fraction: Annotated[float, Gt(0), Le(1)]
        """Share that is kept, above 0 and up to 1."""
        by: Literal["group", "row"] = "group"
        """What is drawn: groups (all judgments of an anchor or query stay together) or single judgments."""
        seed: NonNegativeInt = 0
        """Names the draw. Not the run's seed: all runs share one subset."""

    config: Config

    @property
    def about(self) -> str:
        return f"{self.config.fraction:.3g} of the training {self.config.by}s"

    def change(self, triplets: Triplets) -> Triplets:
        """Return the part that is kept."""
        return triplets.select(self._is_kept(triplets.group))

    def load_odd_one_out(self, split: Split) -> OddOneOut:
        """Return the inner odd-one-out judgments, reduced if the split is `train`."""
        judgments = load_odd_one_out(self.judgments, split)
        return judgments.select(self._is_kept(judgments.group)) if split == "train" else judgments

    def _is_kept(self, group: np.ndarray) -> np.ndarray:
        c = self.config
        keys = group.tolist() if c.by == "group" else range(len(group))
        return keep_share(keys, c.fraction, c.seed, "judgments", "subset", c.by)
