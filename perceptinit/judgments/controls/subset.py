"""A share of other judgments' training split, for curves over the amount of human data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from annotated_types import Gt, Le

from perceptinit.configs import NonNegativeInt
from perceptinit.judgments.controls.wrapper import Wrapper
from perceptinit.judgments.forms.odd_one_out import OddOneOut, load_odd_one_out
from perceptinit.judgments.forms.splits import keep_share
from perceptinit.types import Split, Triplets


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
        return triplets.select(self._kept(triplets.group))

    def load_odd_one_out(self, split: Split) -> OddOneOut:
        """Return the inner odd-one-out judgments, reduced if the split is `train`."""
        judgments = load_odd_one_out(self.judgments, split)
        return judgments.select(self._kept(judgments.group)) if split == "train" else judgments

    def _kept(self, group: np.ndarray) -> np.ndarray:
        c = self.config
        keys = group.tolist() if c.by == "group" else range(len(group))
        return keep_share(keys, c.fraction, c.seed, "judgments", "subset", c.by)
