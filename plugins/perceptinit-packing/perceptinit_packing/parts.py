"""One part of a packing that several machines share: which of the shards, and what its own files are called."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from perceptinit.plugin import UsageError, shown

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Part:
    """Part `number`, from 1 on, of `num_parts`."""

    number: int
    num_parts: int

    @classmethod
    def parse(cls, text: str) -> Part:
        """Return the part that `3/64` names; UsageError for what names none."""
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text, re.A)
        part = cls(*map(int, found.groups())) if found else cls(0, 0)
        if not 1 <= part.number <= part.num_parts:
            raise UsageError(
                f"--part {shown(text)}: expected a part, counted from 1, and how many there are, as 3/64"
            )
        return part

    def of(self, items: Sequence[T]) -> Sequence[T]:
        """Return this part of a sequence: neighbours, and as many as in another part or one more or less."""
        first, stop = (n * len(items) // self.num_parts for n in (self.number - 1, self.number))
        return items[first:stop]

    def name(self, whole: str) -> str:
        """Return what a file of the whole is called as this part's own: `a.3-of-64.txt` of `a.txt`."""
        stem, dot, suffix = whole.rpartition(".")
        return f"{stem}.{self.number}-of-{self.num_parts}{dot}{suffix}"
