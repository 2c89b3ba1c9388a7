"""The control that asks whether the human structure matters: the same triplets, votes dealt at random."""

from __future__ import annotations

# N training judgments
from dataclasses import dataclass, replace

import numpy as np

from perceptinit.configs import NonNegativeInt
from perceptinit.judgments.controls.wrapper import Wrapper
from perceptinit.judgments.forms.odd_one_out import OddOneOut, load_odd_one_out
from perceptinit.seeding import generator
from perceptinit.types import Split, Triplets


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
        return shuffle_votes(triplets, generator(self.config.seed, "judgments", "shuffled-votes"))

    def load_odd_one_out(self, split: Split) -> OddOneOut:
        """Return the inner odd-one-out judgments, votes shuffled if the split is `train`."""
        judgments = load_odd_one_out(self.judgments, split)
        if split != "train":
            return judgments
        rng = generator(self.config.seed, "judgments", "shuffled-votes", "odd-one-out")
        votes = rng.permuted(judgments.votes, axis=1)
        return replace(judgments, votes=votes[rng.permutation(len(votes))])


def shuffle_votes(triplets: Triplets, rng: np.random.Generator) -> Triplets:
    """Return triplets whose votes are those of others; the agreement per row is kept as a set."""
    is_turned = rng.random(len(triplets)) < 0.5
    p_second = np.where(is_turned, 1 - triplets.p_second, triplets.p_second)
    order = rng.permutation(len(triplets))
    return replace(triplets, p_second=p_second[order], num_votes=triplets.num_votes[order])
