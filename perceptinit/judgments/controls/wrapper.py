"""Judgments around others that change their training split: what controls and subsets have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from perceptinit.components.building import preflight
from perceptinit.protocols import Judgments
from perceptinit.types import DataCard, Split, Triplets


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
