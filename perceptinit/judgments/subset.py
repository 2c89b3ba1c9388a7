"""A share of other judgments' training split, for curves over the amount of human data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from annotated_types import Gt, Le

from perceptinit.building import preflight
from perceptinit.configs import NonNegativeInt
from perceptinit.judgments.splits import keep_share
from perceptinit.protocols import Judgments
from perceptinit.types import DataCard, Split, Triplets


class Subset:
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

    def __init__(self, config: Config, judgments: Judgments) -> None:
        self.config, self.judgments = config, judgments

    @property
    def name(self) -> str:
        return self.judgments.name

    @property
    def card(self) -> DataCard:
        card, c = self.judgments.card, self.config
        return replace(card, title=f"{card.title}; {c.fraction:.3g} of the training {c.by}s")

    def preflight(self) -> Iterable[str]:
        """Return what would make the inner judgments fail."""
        return preflight(self.judgments)

    def load(self, split: Split) -> Triplets:
        """Return the inner split, reduced if it is `train`."""
        triplets = self.judgments.load(split)
        if split != "train":
            return triplets
        c = self.config
        keys = triplets.group.tolist() if c.by == "group" else range(len(triplets))
        return triplets.select(keep_share(keys, c.fraction, c.seed, "judgments", "subset", c.by))
