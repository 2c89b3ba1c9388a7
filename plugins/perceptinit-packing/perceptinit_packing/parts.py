"""Parts of a dataset that several machines pack."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from perceptinit.plugin import UsageError, shown

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Part:
    """Part `number` of `num_parts`, counted from 1."""

    number: int
    num_parts: int

    @classmethod
    def parse(cls, text: str) -> Part:
        """Parse a part such as `3/64`; UsageError for invalid text."""
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text, re.A)
        part = cls(*map(int, found.groups())) if found else cls(0, 0)
        if not 1 <= part.number <= part.num_parts:
            raise UsageError(
                f"--part {shown(text)}: expected a part number, from 1, and the number of parts, such as 3/64"
            )
        return part

    def of(self, items: Sequence[T]) -> Sequence[T]:
        """Return this part of a sequence, a contiguous slice; part sizes differ by at most one."""
        first, stop = (n * len(items) // self.num_parts for n in (self.number - 1, self.number))
        return items[first:stop]

    def name(self, whole: str) -> str:
        """Return the file name of this part: `a.3-of-64.txt` for `a.txt`."""
        stem, dot, suffix = whole.rpartition(".")
        return f"{stem}.{self.number}-of-{self.num_parts}{dot}{suffix}"
