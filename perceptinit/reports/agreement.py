"""Which people, and which anchors, the arms side with: from the records, as a picture and a table."""

from __future__ import annotations

# S seeds of an arm
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from perceptinit.reports.comparison import Comparison, ScoreComparison
from perceptinit.reports.figures import FAINT, Figure, arm_style, drawing, finish
from perceptinit.reports.numbers import number

# beyond, names cannot be read on an axis
MAX_NAMED = 40
UNNAMED_INCHES = 4.5
# what a record calls it, what a page calls one of them
UNITS = {"by_person": "person", "by_anchor": "anchor"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """A score for each person, or for each anchor, lowest first.

    values: arm -> mean over seeds for each of `names`. others: how well the other people predict each
    person; None where it is not known.
    """

    score: ScoreComparison
    unit: str
    names: tuple[str, ...]
    values: Mapping[str, tuple[float, ...]]
    others: tuple[float | None, ...]

    @property
    def title(self) -> str:
        return f"Each {self.unit} in {self.score.name}"


def breakdowns(comparison: Comparison) -> Iterator[Breakdown]:
    """Yield every score of the finished runs that their records break down by person or anchor."""
    for score in comparison.scores:
        for key, unit in UNITS.items():
            by_arm = {arm: _rows(comparison, arm, score.name, key) for arm in comparison.runs.arms}
            found = _breakdown(score, unit, {arm: rows for arm, rows in by_arm.items() if rows})
            if found:
                yield found


def _rows(comparison: Comparison, arm: str, name: str, key: str) -> list[Mapping[str, Any]]:
    """Return what the arm's runs recorded at their end, seed by seed."""
    return [
        row["extra"][key]
        for run in comparison.runs.finished
        for row in run.scores
        if run.arm == arm
        and (row["name"], row["samples_seen"]) == (name, run.samples_seen)
        and row["extra"].get(key)
    ]


def _breakdown(
    score: ScoreComparison, unit: str, by_arm: Mapping[str, Sequence[Mapping[str, Any]]]
) -> Breakdown | None:
    every = [rows for seeds in by_arm.values() for rows in seeds]
    shared = [name for name in every[0] if all(name in rows for rows in every)] if every else []
    if not shared:
        return None
    means = {
        arm: {n: sum(rows[n]["value"] for rows in seeds) / len(seeds) for n in shared}
        for arm, seeds in by_arm.items()
    }
    shared.sort(key=lambda n: sum(of_arm[n] for of_arm in means.values()))
    return Breakdown(
        score=score,
        unit=unit,
        names=tuple(shared),
        values={arm: tuple(of_arm[n] for n in shared) for arm, of_arm in means.items()},
        others=tuple(every[0][n].get("others") for n in shared),
    )


def agreement_figure(found: Breakdown, arms: Sequence[str]) -> Figure:
    """Return one mark per arm for each person or anchor; a grey bar is what the other people reach."""
    is_named = len(found.names) <= MAX_NAMED
    factor = 100 if found.score.is_share else 1
    places = list(range(len(found.names)))
    with drawing(height=1.4 + 0.2 * len(places) if is_named else UNNAMED_INCHES) as axes:
        ax = axes[0]
        for arm, values in found.values.items():
            style = arm_style(arms.index(arm)) | {"linestyle": "", "markersize": 4, "alpha": 0.8}
            ax.plot([factor * v for v in values], places, label=arm, **style)
        known = [
            (factor * v, p) for v, p in zip(found.others, places, strict=True) if v is not None
        ]
        if known:
            xs, ys = zip(*known, strict=True)
            ax.plot(xs, ys, "|", color=FAINT, markersize=9, label="the other people")
        ax.set_yticks(places if is_named else [], found.names if is_named else [], fontsize=8)
        ax.set_ylabel("" if is_named else f"{len(places):,} {found.unit}s, lowest first")
        ax.set_xlabel(f"{found.score.measure}, %" if found.score.is_share else found.score.measure)
        ax.figure.legend(loc="outside upper right", ncols=4)
        return finish(axes, found.title, _alt(found))


def _alt(found: Breakdown) -> str:
    parts = [
        f"{arm} {number(min(values), found.score.is_share)} to {number(max(values), found.score.is_share)}"
        for arm, values in found.values.items()
    ]
    return f"Dot plot of {len(found.names):,} {found.unit}s: {'; '.join(parts)}."


def agreement_table(found: Breakdown) -> dict[str, Any]:
    """Return headings and rows of text, one row per person or anchor."""
    has_others = any(value is not None for value in found.others)
    columns = [*found.values.values(), *([found.others] if has_others else [])]
    cells = [
        ["" if v is None else number(v, found.score.is_share) for v in row]
        for row in zip(*columns, strict=True)
    ]
    headings = [found.unit, *found.values, *(["the other people"] if has_others else [])]
    rows = [[name, *row] for name, row in zip(found.names, cells, strict=True)]
    return {"headings": headings, "rows": rows}
