"""The output of `perceptinit eval --on`: tables, a page with figures, CSV and JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from textwrap import fill
from typing import Any

from perceptinit.errors import UsageError
from perceptinit.evaluating.agreement import measure_models, read_sets
from perceptinit.evaluating.layers import OUTPUT
from perceptinit.evaluating.request import Request, prepare
from perceptinit.evaluating.standing import FIELDS, Row, compare_on
from perceptinit.registry import Registry, unknown
from perceptinit.reports import figures
from perceptinit.reports.columns import csv_text
from perceptinit.reports.formats import latex_rows, markdown_rows
from perceptinit.reports.report import render_template, write_page
from perceptinit.results.measures import is_share
from perceptinit.results.record import environment, plain
from perceptinit.types import RunContext

ROW_INCHES = 0.36
LONGEST = 34  # characters in a line of a label


@dataclass(frozen=True, slots=True)
class Agreement:
    """The agreement of models with people.

    rows: Rows of `FIELDS` by set.
    """

    rows: dict[str, list[Row]]
    problems: Sequence[str]
    environment: dict[str, Any]

    def text(self, form: str) -> str:
        """Return the result as `csv`, `json`, `markdown` or `latex`."""
        every = list(chain(*self.rows.values()))
        if form == "csv":
            return csv_text(FIELDS, every)
        if form == "json":
            value = {
                "scores": every,
                "left_out": list(self.problems),
                "environment": self.environment,
            }
            return json.dumps(plain(value), indent=2, allow_nan=False) + "\n"
        write = markdown_rows if form == "markdown" else latex_rows
        scores, *others = tables(self)
        return "\n".join([write(*scores, list(notes(self))), *(write(*each, []) for each in others)])


def evaluate_on(request: Request, registry: Registry, tell: Callable[[str], None]) -> Agreement:
    """Measure the requested models on the judgments of `--on`; `tell` receives each problem.

    Raises:
        UsageError: For an invalid request, or if no model has a score.
    """
    from perceptinit.compute.devices import usable_cores

    device, models = prepare(request, registry)
    sets = read_sets(request, models, registry)
    problems: list[str] = []

    def note(text: str) -> None:
        problems.append(text)
        tell(text)

    workers = usable_cores() if request.workers is None else request.workers
    ctx = RunContext(device=device, num_workers=workers, send=lambda event: note(event.message))
    subjects = measure_models(models, sets, request, ctx, note)
    titles = [subject.title for subject in subjects]
    if request.baseline not in ("", *titles):
        raise UsageError(unknown("--baseline: no model called", request.baseline, titles))
    if not subjects:
        raise UsageError("no model has a score")
    rows = {each.title: compare_on(each, subjects, request.baseline) for each in sets}
    return Agreement(rows, problems, environment(device))


Table = tuple[list[str], list[list[str]]]


def tables(found: Agreement) -> Iterator[Table]:
    """Yield headings and rows of the tables of scores and of differences. Cells have lines."""
    sets = list(found.rows.values())
    rows = {(row["model"], row["set"]): row for row in chain(*sets)}

    def line(name: str, cell: Callable[[Row | None], str]) -> list[str]:
        return [name, *(cell(rows.get((name, title))) for title in found.rows)]

    first = [of_set[0] for of_set in sets]
    scores = [line(name, _score_cell) for name in dict.fromkeys(name for name, _ in rows)]
    scores.append(["human ceiling", *map(_ceiling, first)])
    scores.append(["chance", *map(_chance, first)])
    yield ["model", *found.rows], scores
    differences = [line(row["model"], _difference_cell) for row in sets[0] if row["layer"]]
    if len(differences) > 1:
        yield ["difference from the reference", *found.rows], differences


def _score_cell(row: Row | None) -> str:
    if row is None:
        return "-"
    lines = [number(row, "value"), _between(row, "low", "high")]
    if row["layer"] and row["share_of_lower_ceiling"] is not None:
        lines.append(f"{100 * row['share_of_ceiling']:.0f} to {100 * row['share_of_lower_ceiling']:.0f} %")
    return "\n".join(filter(None, lines))


def _difference_cell(row: Row | None) -> str:
    if row is None or row["reference"] is None:
        return "reference"
    between = _between(row, "difference_low", "difference_high", "+")
    outcome = row["outcome"].replace("shown to", "shown\nto")
    return "\n".join(filter(None, (number(row, "difference", "+"), between, outcome)))


def _between(row: Row, low: str, high: str, sign: str = "") -> str:
    """Return an interval in brackets; empty if there is none."""
    return "" if row[low] is None else f"[{number(row, low, sign)}, {number(row, high, sign)}]"


def _ceiling(row: Row) -> str:
    return " to ".join(filter(None, (number(row, "lower_ceiling"), number(row, "ceiling")))) or "-"


def _chance(row: Row) -> str:
    return number(row, "chance")


def number(row: Row, key: str, sign: str = "") -> str:
    """Return a value of a row, in percent for shares of votes; empty for None."""
    if row[key] is None:
        return ""
    value = scale(row) * row[key]
    return f"{value:{sign}.1f}" if scale(row) == 100 else f"{value:{sign}.3f}"


def scale(row: Row) -> int:
    """Return the factor from a value to its unit in tables."""
    return 100 if is_share(row["measure"], row["chance"]) else 1


def notes(found: Agreement) -> Iterator[str]:
    """Yield how to read the tables, the sets, and the preprocessing of each model."""
    first = next(iter(found.rows.values()))
    if any(row["ceiling"] for row in chain(*found.rows.values())):
        yield "Percent: part of the way from chance to the upper, and to the lower end of the human ceiling"
    num_compared = max(row["num_compared"] or 0 for row in first)
    if num_compared > 1:
        yield f"Differences of a set: simultaneous 95 % intervals for {num_compared} pairs (Bonferroni)"
    for rows in found.rows.values():
        yield describe(rows[0])
    for row in first:
        if row["input"]:
            yield f"{row['model']}: {row['input']}"


def describe(row: Row) -> str:
    """Return measure, judgments and people of a set in words."""
    count = f"{row['num_examples']:,} {'judgments' if scale(row) == 100 else 'pairs of images'}"
    people = f"{row['people']:,} people" if row["people"] else "people not named"
    interval = row["missing"] or f"95 % intervals over {row['covers']}"
    return f"{row['set']}: {row['measure']}, {count} ({row['judgments']}), {people}; {interval}"


def write_agreement(found: Agreement, out: Path) -> None:
    """Write a page with a forest plot of each set; UsageError if the file is not a page of perceptinit."""
    figures.require_matplotlib()
    drawn = {title: list(_draw(rows)) for title, rows in found.rows.items()}
    values = {"describe": describe, "figures": drawn, "notes": list(notes(found)), "tables": tables(found)}
    write_page(out, render_template("agreement.html", found=found, **values))


def _draw(rows: list[Row]) -> Iterator[figures.Figure]:
    """Yield a forest plot of a set and, for several layers, a plot over the depth of the models."""
    factor = scale(rows[0])
    with figures.drawing(height=1.0 + ROW_INCHES * len(rows)) as ax:
        _draw_limits(ax.axvline, ax.axvspan, rows[0])
        for place, row in enumerate(rows):
            colour = figures.arm_colour(1) if row["layer"] else figures.FAINT
            ax.plot(factor * row["value"], place, "o", color=colour)
            if row["low"] is not None:
                ax.plot([factor * row["low"], factor * row["high"]], [place, place], color=colour)
        ax.set_yticks(range(len(rows)), [fill(row["model"], LONGEST) for row in rows], fontsize=9)
        ax.set_ylim(len(rows) - 0.5, -0.5)
        ax.set_xlabel(_unit(rows[0]))
        alt = "; ".join(f"{row['model']} {number(row, 'value')}" for row in rows)
        caption = "Points: scores with 95 % intervals. Band: human ceiling. Dotted line: chance."
        yield figures.finish(ax, f"Agreement with people: {rows[0]['set']}", alt, caption)
    curves: dict[str, dict[int, float]] = {}
    for row in rows:
        if row["layer"] not in (None, OUTPUT):
            curve = curves.setdefault(row["model"].removesuffix(f" {row['layer']}"), {})
            curve[len(curve) + 1] = row["value"]
    if max(map(len, curves.values()), default=0) < 2:
        return
    with figures.drawing() as ax:
        _draw_limits(ax.axhline, ax.axhspan, rows[0])
        lines = {model: [curve] for model, curve in curves.items()}
        figures.plot_arms(ax, lines, list(curves), lambda value: factor * value)
        ax.set(xlabel="layer", ylabel=_unit(rows[0]))
        alt = f"Scores of the layers of {', '.join(curves)}, from input to output."
        yield figures.finish(ax, f"Depth: {rows[0]['set']}", alt, "Layers from input to output.")


def _draw_limits(line: Any, span: Any, row: Row) -> None:
    """Draw chance as a line and the human ceiling as a band."""
    style = {"color": figures.FAINT, "linewidth": 1}
    line(scale(row) * row["chance"], linestyle=":", **style)
    if row["lower_ceiling"] is not None:
        span(scale(row) * row["lower_ceiling"], scale(row) * row["ceiling"], alpha=0.15, **style)


def _unit(row: Row) -> str:
    return f"{row['measure']}, %" if scale(row) == 100 else row["measure"]
