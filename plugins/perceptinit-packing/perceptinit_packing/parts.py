"""One part of a packing that several machines share: its shards and the names of its files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from perceptinit.plugin import UsageError, shown

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Part:
    """Part `number`, from 1, of `num_parts`."""

    number: int
    num_parts: int

    @classmethod
    def parse(cls, text: str) -> Part:
        """Return the part of a text such as `3/64`; UsageError for any other text."""
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text, re.A)
        part = cls(*map(int, found.groups())) if found else cls(0, 0)
        if not 1 <= part.number <= part.num_parts:
            raise UsageError(
                f"--part {shown(text)}: expected a part, from 1, and the number of parts, such as 3/64"
            )
        return part

    def of(self, items: Sequence[T]) -> Sequence[T]:
        """Return this part of a sequence, contiguous; sizes of parts differ by at most one."""
        first, stop = (n * len(items) // self.num_parts for n in (self.number - 1, self.number))
        return items[first:stop]

    def name(self, whole: str) -> str:
        """Return the name of this part's version of a file: `a.3-of-64.txt` of `a.txt`."""
        stem, dot, suffix = whole.rpartition(".")
        return f"{stem}.{self.number}-of-{self.num_parts}{dot}{suffix}"
