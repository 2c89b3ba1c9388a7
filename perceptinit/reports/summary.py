"""The table a run ends with: arms x scores, with uncertainty, chance and samples seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from perceptinit.reports.statistics import Estimate, estimate, paired_difference

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Cell:
    """One arm and one score: the mean over seeds and the paired difference to the baseline."""

    arm: str
    value: Estimate
    difference: Estimate | None


@dataclass(frozen=True, slots=True)
class ScoreSummary:
    """One score over all arms; every cell was taken at `samples_seen`."""

    name: str
    chance: float | None
    ceiling: float | None
    num_examples: int
    samples_seen: int
    cells: tuple[Cell, ...]


def final_scores(record: Record) -> dict[str, dict[str, Any]]:
    """Return the last row of each score of a record."""
    return {row["name"]: row for row in record["scores"]}


def summarize(records: Sequence[Record], baseline: str) -> list[ScoreSummary]:
    """Return one summary per score over the finished records.

    Only values taken at the same number of samples seen are put side by side: where arms differ,
    each count makes a summary of its own.
    """
    by_score: dict[tuple[str, int], dict[str, dict[int, dict[str, Any]]]] = {}
    for record in records:
        if record["status"] != "finished":
            continue
        for name, row in final_scores(record).items():
            if row["value"] is not None:
                arms = by_score.setdefault((name, row["samples_seen"]), {})
                arms.setdefault(record["arm"]["name"], {})[record["seed"]] = row
    return [_summary(name, seen, arms, baseline) for (name, seen), arms in by_score.items()]


def _summary(
    name: str, samples_seen: int, arms: dict[str, dict[int, dict[str, Any]]], baseline: str
) -> ScoreSummary:
    values = {arm: {s: row["value"] for s, row in rows.items()} for arm, rows in arms.items()}
    row = next(iter(next(iter(arms.values())).values()))
    cells = tuple(
        Cell(
            arm,
            estimate(list(seeds.values())),
            paired_difference(seeds, values[baseline])
            if arm != baseline and baseline in values
            else None,
        )
        for arm, seeds in values.items()
    )
    return ScoreSummary(
        name, row["chance"], row["ceiling"], row["num_examples"], samples_seen, cells
    )


def summary_table(records: Sequence[Record], baseline: str) -> Group:
    """Return the arms x scores table as a rich renderable, with a line on how to read it."""
    simulated = any(_is_simulated(record) for record in records)
    table = Table(title=_title(records), title_justify="left")
    for heading in ("score", "arm"):
        table.add_column(heading, overflow="fold")
    for heading in (
        "mean ± s.e.",
        f"vs {baseline} [95 % interval]",
        "chance",
        "ceiling",
        "seeds",
        "samples seen",
    ):
        table.add_column(heading, justify="right", overflow="fold")
    for summary in summarize(records, baseline):
        for i, cell in enumerate(summary.cells):
            table.add_row(*_row(summary, cell, first=i == 0), end_section=cell is summary.cells[-1])
    notes = [
        "s.e. = standard error over seeds; difference = mean over seeds of the paired difference, "
        "Student's t interval."
    ]
    if simulated:
        notes.insert(0, "Simulated data: the images and the observers are made by a program.")
    notes += _unfinished(records)
    return Group(table, *(Text(note, style="dim") for note in notes))


def _title(records: Sequence[Record]) -> str:
    recipe = records[0]["recipe"] if records else {"name": "no runs"}
    return f"{recipe['name']}: {recipe.get('summary', '')}".rstrip(": ")


def _row(summary: ScoreSummary, cell: Cell, first: bool) -> list[str]:
    return [
        summary.name if first else "",
        cell.arm,
        _mean(cell.value),
        _interval(cell.difference),
        _number(summary.chance) if first else "",
        _number(summary.ceiling) if first else "",
        str(cell.value.num),
        f"{summary.samples_seen:,}" if first else "",
    ]


def _mean(value: Estimate) -> str:
    return (
        f"{value.mean:.3f} ± {value.stderr:.3f}"
        if value.stderr is not None
        else f"{value.mean:.3f}"
    )


def _interval(value: Estimate | None) -> str:
    if value is None:
        return ""
    if value.low is None or value.high is None:
        return f"{value.mean:+.3f} (one seed)"
    return f"{value.mean:+.3f} [{value.low:+.3f}, {value.high:+.3f}]"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _is_simulated(record: Record) -> bool:
    return '"synthetic"' in str(record["arm"]["resolved"]).replace("'", '"')


def _unfinished(records: Sequence[Record]) -> list[str]:
    return [
        f"Left out: {r['arm']['name']}, seed {r['seed']}: {r['status']}. {r.get('error', '')}".rstrip()
        for r in records
        if r["status"] != "finished"
    ]
