"""Tables of scores with a known truth: how they are written, and patterns of what `compare` says about them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from situations.made import BASE, PATTERN

Row = dict[str, Any]
Change = Callable[[list[Row]], list[Row]]

WORTH = r"(?<![Ww]hether )(?<!that )(?<!show )\bpi is worth it"
NOT_WORTH = r"(?<!that )\bpi is not worth it"
EQUAL = r"(?<!that )\bpi makes no difference that matters"
STRONGLY = (WORTH, NOT_WORTH, EQUAL)
OPTIONS = ("--baseline", "random", "--delta", "0.5")
PLAN = """
arms = {arms}
seeds = {seeds}
baseline = "random"
[verdict]
delta = {delta}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of scores with a known truth.

    Args:
        truth: The truth in a sentence.
        text: Content of the file; empty for a file of tests/results/tables.
        file: Name of the file.
        options: Options of `compare` and `report`.
        plan: Plan in TOML, which is preregistered; empty without one.
        more: Further files, name to content.
        must: Patterns that each match in every view: terminal, Markdown, JSON and page.
        never: Patterns that match in no view.
        firm: Whether the scores settle the question, so that hedging would be wrong.
        is_refused: Whether the table cannot be compared. Patterns then describe the error.
    """

    truth: str
    text: str = ""
    file: str = "results.csv"
    options: tuple[str, ...] = OPTIONS
    plan: str = ""
    more: Mapping[str, str] | None = None
    must: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    firm: bool = False
    is_refused: bool = False


def draw(
    measure: str, level: float, gain: float, seeds: int = 6, digits: int = 4, **arms: float
) -> list[Row]:
    """Return rows of the arms random and pi, whose scores differ by `gain`, and of other arms by their gain.

    The spread over seeds is 1 % of the level, and that of a difference a fifth of it. Columns: arm, seed, measure.
    """
    rows = []
    for turn, (arm, lead) in enumerate({"random": 0.0, "pi": gain, **arms}.items()):
        for seed in range(seeds):
            noise = 0.01 * level * (BASE[seed % 10] + 0.1 * PATTERN[(seed + 3 * turn) % 10])
            rows.append({"arm": arm, "seed": seed, measure: round(level + lead + noise, digits)})
    return rows


def write(rows: Iterable[Row], separator: str = ",") -> str:
    """Return rows as CSV; a missing cell is empty."""
    rows = list(rows)
    file = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(file, names, delimiter=separator, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def long(rows: Iterable[Row], *measures: str) -> list[Row]:
    """Return a row for each of these measures, with the columns measure and value."""
    return [
        {
            **{name: cell for name, cell in row.items() if name not in measures},
            "measure": name,
            "value": row[name],
        }
        for row in rows
        for name in measures
        if name in row
    ]


def join(first: Iterable[Row], *others: Iterable[Row]) -> list[Row]:
    """Return the rows of the first list with the cells of the others, in order."""
    joined = [dict(row) for row in first]
    for other in others:
        for row, more in zip(joined, other, strict=True):
            row.update({name: cell for name, cell in more.items() if name not in row})
    return joined


def with_cells(rows: Iterable[Row], **columns: Callable[[Row], Any]) -> list[Row]:
    """Return rows with more columns, each a function of the row."""
    return [{**row, **{name: find(row) for name, find in columns.items()}} for row in rows]


def changed(rows: Iterable[Row], arm: str, seeds: Iterable[int] | None, /, **cells: Any) -> list[Row]:
    """Return rows in which the cells of the runs of an arm with these seeds (None: all) are replaced.

    A function is called with the old cell.
    """
    found = [dict(row) for row in rows]
    for row in found:
        if row["arm"] == arm and (seeds is None or row["seed"] in tuple(seeds)):
            row.update({name: new(row[name]) if callable(new) else new for name, new in cells.items()})
    return found


def without(rows: Iterable[Row], arm: str, *seeds: int) -> list[Row]:
    """Return rows without the runs of an arm with these seeds."""
    return [row for row in rows if row["arm"] != arm or row["seed"] not in seeds]


def renamed(rows: Iterable[Row], **names: str) -> list[Row]:
    """Return rows whose columns have other names."""
    return [{names.get(name, name): cell for name, cell in row.items()} for row in rows]


def plan(arms: Iterable[str] = ("random", "pi"), seeds: int = 6, more: str = "", delta: float = 0.5) -> str:
    """Return a plan in TOML; `more` are further keys of [verdict]."""
    return PLAN.format(arms=list(arms), seeds=list(range(seeds)), delta=delta) + more
