"""Of several ways to show one thing, the first that fits the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions
from rich.measure import Measurement
from rich.table import Table

ANY_WIDTH = 100_000  # columns; wider than every table


@dataclass(frozen=True, slots=True)
class FirstThatFits:
    """The first table that needs no more columns than there are, and the last one when none does."""

    tables: tuple[Table, ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table]:
        unlimited = options.update(max_width=ANY_WIDTH)
        for table in self.tables:
            needed = Measurement.get(console, unlimited, table).maximum
            if needed <= options.max_width or table is self.tables[-1]:
                yield table
                return
