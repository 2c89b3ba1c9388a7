"""Pairs that cannot be used: said, counted, and too many of them stop the run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from perceptinit.compute import distributed
from perceptinit.errors import DataError

# said one by one; after that only counted
NUM_SAID = 10


@dataclass(frozen=True, slots=True)
class Unusable:
    """A pair that was met and could not be read or decoded; `reason` names the sample."""

    index: int
    reason: str


class UnusablePairs:
    """Keeps account of unusable pairs over a run.

    num_pairs: pairs in the source. max_share: share of them that may turn out unusable.
    warn: tells the user a sentence.
    indices: the different pairs found so far. num_replaced: draws that another pair replaced.
    """

    def __init__(self, num_pairs: int, max_share: float, warn: Callable[[str], None]) -> None:
        self.indices: set[int] = set()
        self.num_replaced = 0
        self._num_pairs = num_pairs
        self._max_share = max_share
        self._warn = warn

    def note(self, found: Iterable[Unusable]) -> None:
        """Take account of pairs of one batch, all processes together; DataError when there are too many."""
        own = [[item.index, item.reason] for item in found] or None
        for item in (Unusable(*row) for rows in distributed.exchange(own) for row in rows or ()):
            self.num_replaced += 1
            if item.index not in self.indices:
                self.indices.add(item.index)
                self._report(item.reason)

    def _report(self, reason: str) -> None:
        """Warn about an unusable pair; DataError when there are too many."""
        if len(self.indices) <= NUM_SAID:
            self._warn(f"{reason}; another pair, drawn by the seed, takes its place")
        if len(self.indices) == NUM_SAID:
            self._warn("further pairs that cannot be used are only counted (num_replaced)")
        if len(self.indices) > self._max_share * self._num_pairs:
            raise DataError(
                f"{len(self.indices)} of {self._num_pairs} pairs cannot be used, more than "
                f"max_bad_share = {self._max_share:g} allows; the last: {reason}"
            )
