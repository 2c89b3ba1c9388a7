"""Agreement of models with people: scores on judgments, their tables, and a page with figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from textwrap import fill
from typing import Any

from perceptinit.errors import UsageError
from perceptinit.evaluating.agreement import measure_models, read_sets
from perceptinit.evaluating.asked import Asked
from perceptinit.evaluating.layers import OUTPUT
from perceptinit.evaluating.measure import Session
from perceptinit.evaluating.models import EvalModel
from perceptinit.evaluating.request import Evaluation, Request, Table
from perceptinit.evaluating.standing import FIELDS, Row, compare_on
from perceptinit.registry import Registry, unknown
from perceptinit.reports import figures
from perceptinit.reports.report import render_template, write_page
from perceptinit.results.measures import is_share

ROW_INCHES = 0.36
LONGEST = 34  # characters in a line of a label


def find_agreement(
    request: Request,
    asked: Sequence[Asked],
    models: Sequence[EvalModel],
    registry: Registry,
    session: Session,
) -> Evaluation:
    """Return the scores of models on the judgments of `--on`; UsageError if no model has a score."""
    sets = read_sets(asked, models, registry)
    subjects = measure_models(models, sets, request, session)
    titles = [subject.title for subject in subjects]
    if request.baseline not in ("", *titles):
        raise UsageError(unknown("--baseline: no model called", request.baseline, titles))
    if not subjects:
        raise UsageError("no model has a score")
    by_set = {each.title: compare_on(each, subjects, request.baseline) for each in sets}
    return Evaluation(
        fields=FIELDS,
        rows=list(chain(*by_set.values())),
        tables=list(_tables(by_set)),
        notes=list(_notes(by_set)),
        session=session,
    )


def _tables(by_set: Mapping[str, list[Row]]) -> Iterator[Table]:
    """Yield the tables of scores and of differences."""
    sets = list(by_set.values())
    rows = {(row["model"], row["set"]): row for row in chain(*sets)}

    def line(name: str, cell: Callable[[Row | None], str]) -> list[str]:
        return [name, *(cell(rows.get((name, title))) for title in by_set)]

    first = [of_set[0] for of_set in sets]
    scores = [line(name, _score_cell) for name in dict.fromkeys(name for name, _ in rows)]
    scores.append(["human ceiling", *map(_ceiling, first)])
    scores.append(["chance", *map(_chance, first)])
    yield Table(["model", *by_set], scores)
    differences = [line(row["model"], _difference_cell) for row in sets[0] if row["layer"]]
    if len(differences) > 1:
        yield Table(["difference from the reference", *by_set], differences)


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


def _notes(by_set: Mapping[str, list[Row]]) -> Iterator[str]:
    """Yield how to read the tables, the sets, and the preprocessing of each model."""
    first = next(iter(by_set.values()))
    if any(row["ceiling"] for row in chain(*by_set.values())):
        yield "Percent: part of the way from chance to the upper, and to the lower end of the human ceiling"
    num_compared = max(row["num_compared"] or 0 for row in first)
    if num_compared > 1:
        yield f"Differences of a set: simultaneous 95 % intervals for {num_compared} pairs (Bonferroni)"
    for rows in by_set.values():
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


def write_agreement(found: Evaluation, out: Path) -> None:
    """Write a page with a forest plot of each set; UsageError if the file is not a page of perceptinit."""
    figures.require_matplotlib()
    by_set = {title: list(rows) for title, rows in groupby(found.rows, itemgetter("set"))}
    drawn = [(title, describe(rows[0]), list(_draw(rows))) for title, rows in by_set.items()]
    write_page(out, render_template("agreement.html", found=found, sets=drawn))


def _draw(rows: Sequence[Row]) -> Iterator[figures.Figure]:
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
