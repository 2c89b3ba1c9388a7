"""Per-item values of a score: variance components of contrasts, and intervals of single scores."""

# S seeds, N items
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from perceptinit.analysis.contrasts import Contrast
from perceptinit.analysis.intervals import (
    Components,
    estimate_two_way,
    find_components,
    find_item_components,
)
from perceptinit.analysis.statistics import Estimate
from perceptinit.results.measures import is_correlation, split_name
from perceptinit.types import Items

SAME_MEAN = 1e-5  # tolerance between a score and the mean of its float32 items
MIN_IMAGES_OF_DIFFERENCE = 40
"""With fewer images, intervals of a difference of correlations are too wide (docs/calibration-tables.md)."""
Cell = tuple[str, int]  # arm, seed
ItemsOf = Mapping[Cell, Mapping[str, Items]]  # items by name of the score


@dataclass(frozen=True, slots=True)
class ItemScores:
    """The per-item values of a score.

    Attributes:
        own: Items by arm or trivial model, and seed. All have the same images.
        cells: Cells with a score, with or without items.
        trivial: Names of the trivial models of each arm.
        one_run_decides: Whether a single run has intervals over items alone.
        places: Image indices of each item, shape (N, R), from 0 without gaps.
        people: Person of each item, shape (N,), from 0 without gaps; None if unknown.
        is_correlation: Whether the score is a correlation.
    """

    own: Mapping[Cell, Items]
    cells: frozenset[Cell]
    trivial: Mapping[str, Sequence[str]]
    one_run_decides: bool
    places: np.ndarray
    people: np.ndarray | None
    is_correlation: bool

    @classmethod
    def of(
        cls, items: ItemsOf, name: str, values: Mapping[Cell, float], one_run_decides: bool
    ) -> Self | None:
        """Return the items of a score; None if no run has any."""
        own = {}
        for cell, value in values.items():
            found = items.get(cell, {}).get(name)
            # items exist for final scores only, not for scores selected by `--at`
            if found and abs(np.average(found.values, weights=found.weights) - value) < SAME_MEAN:
                own[cell] = found
        if not own:
            return None
        first = next(iter(own.values()))
        trivial: dict[str, list[str]] = {}
        for (arm, seed), found in list(own.items()):
            trivial[arm] = [*dict.fromkeys([*trivial.get(arm, ()), *found.baselines])]
            for model, of_model in found.baselines.items():
                own[model, seed] = replace(found, values=of_model)
        return cls(
            {cell: each for cell, each in own.items() if np.array_equal(each.images, first.images)},
            frozenset({*values, *own}),
            trivial,
            one_run_decides,
            # computed once: sets can have 50,000 images
            np.unique(first.images, return_inverse=True)[1].reshape(first.images.shape),
            None if first.people is None else np.unique(first.people, return_inverse=True)[1],
            is_correlation(split_name(name)[0]),
        )

    @property
    def has_few_images(self) -> bool:
        """Return whether differences of single runs have no interval, because it would be too wide."""
        is_single = self.one_run_decides and self.is_correlation
        return is_single and len(np.unique(self.places)) < MIN_IMAGES_OF_DIFFERENCE

    def find_components(self, contrasts: Sequence[Contrast]) -> Iterator[tuple[Contrast, Components]]:
        """Yield variance components of contrasts and of leads over trivial models."""
        leads = [Contrast(arm, model) for arm, models in self.trivial.items() for model in models]
        for contrast in dict.fromkeys([*contrasts, *leads]):
            seeds = [seed for seed in self._seeds(contrast.arm) if (contrast.reference, seed) in self.cells]
            pairs = [
                (self.own.get((contrast.arm, seed)), self.own.get((contrast.reference, seed)))
                for seed in seeds
            ]
            known = [a.values - b.values for a, b in pairs if a and b]
            is_complete = len(known) == len(pairs) > 0
            is_withheld = len(known) == 1 and self.has_few_images
            if is_complete and not is_withheld and (parts := self._find(np.array(known))):
                yield contrast, parts

    def estimate(self, arm: str, is_share: bool) -> Estimate | None:
        """Return the score of an arm or trivial model with a 95 % interval; None if it is not known.

        Args:
            arm: Arm or trivial model.
            is_share: Whether values are shares of votes, so that weights are numbers of votes.
        """
        found = [self.own.get((arm, seed)) for seed in self._seeds(arm)]
        known = [each.values for each in found if each]
        if not known or len(known) < len(found):
            return None
        parts = self._find(np.array(known), is_share)
        if parts is None:
            return None
        estimate = estimate_two_way(parts)
        if self.is_correlation:
            return estimate.of_correlation()
        return estimate.of_share() if is_share else estimate

    def _seeds(self, arm: str) -> list[int]:
        return sorted(seed for name, seed in self.cells if name == arm)

    def _find(self, values: np.ndarray, are_shares: bool = False) -> Components | None:
        weights = next(iter(self.own.values())).weights
        if len(values) == 1 and self.one_run_decides:
            return find_item_components(values[0], self.places, weights, self.people, are_shares)
        return find_components(values, self.places, weights, self.people)
