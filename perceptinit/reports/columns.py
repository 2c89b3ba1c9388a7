"""The columns of results: each says where its value comes from, and how tables, files and the page show it.

A new field of `Score` is one line in `FACTS`, and one in `COLUMNS` if CSV and JSON have it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from perceptinit.reports.comparison import ArmScore, Comparison, Difference, ScoreComparison
from perceptinit.reports.numbers import interval, number, signed
from perceptinit.reports.verdicts.verdict import can_be_derived_from
from perceptinit.results.measures import measure_title

BESIDE = "the same judgments by"


def _note_chance(score: ScoreComparison) -> str:
    chance = score.facts["chance"]
    return "" if chance is None else f"chance {number(chance, score.is_share)}"


def _note_ceiling(score: ScoreComparison) -> str:
    bounds = [score.facts[key] for key in ("lower_ceiling", "ceiling")]
    people = " to ".join(number(v, score.is_share) for v in bounds if v is not None)
    return f"human ceiling {people}" if people else ""


# what a score says besides its value: fields of `Score`, with the words of a score's heading for those that have some
FACTS: dict[str, Callable[[ScoreComparison], str] | None] = {
    "chance": _note_chance,
    "lower_ceiling": None,
    "ceiling": _note_ceiling,
    "num_examples": lambda score: f"{score.facts['num_examples']:,} examples",
}


@dataclass(frozen=True, slots=True)
class Row:
    """An arm in a score: a row of CSV and JSON, for each of its differences."""

    score: ScoreComparison
    arm: ArmScore


@dataclass(frozen=True, slots=True)
class Column:
    """A column of CSV and JSON.

    value: of a `Row`, or of a difference of its arm; unrounded, shares in 0..1. heading, text: of a difference in the
    page's table of statistics, for those that it shows.
    """

    key: str
    value: Callable[[Any], Any]
    is_of_difference: bool = False
    heading: str = ""
    text: Callable[[ScoreComparison, Difference], str] | None = None


def _relative(score: ScoreComparison, difference: Difference) -> str:
    if difference.relative is None or not can_be_derived_from(score, difference.contrast):
        return ""
    return f"{100 * difference.relative:+.1f} %"


def _bootstrap(score: ScoreComparison, difference: Difference) -> str:
    ends = [end for end in difference.bootstrap if end is not None]
    return " to ".join(signed(v, score.is_share).replace(" points", "") for v in ends)


def _signed(score: ScoreComparison, difference: Difference) -> str:
    return signed(difference.value.mean, score.is_share)


def _p_value(value: float | None) -> str:
    return "" if value is None else f"{value:.2g}"


def _detectable(score: ScoreComparison, difference: Difference) -> str:
    detectable = difference.detectable
    return "" if detectable is None else number(detectable, score.is_share)


COLUMNS = (
    Column("score", lambda row: row.score.name),
    Column("measure", lambda row: row.score.measure),
    Column("data_set", lambda row: row.score.data_set),
    Column("family", lambda row: row.score.family),
    Column("num_sets", lambda row: row.score.num_sets),
    Column("samples_seen", lambda row: row.score.samples_seen.get(row.arm.arm)),
    Column("arm", lambda row: row.arm.arm),
    Column("num_seeds", lambda row: len(row.arm.by_seed)),
    Column("missing_seeds", lambda row: list(row.arm.missing)),
    Column("mean", lambda row: row.arm.value.mean if row.arm.value else None),
    Column("stderr", lambda row: row.arm.value.stderr if row.arm.value else None),
    Column("chance", lambda row: row.score.facts["chance"]),
    Column("lower_ceiling", lambda row: row.score.facts["lower_ceiling"]),
    Column("ceiling", lambda row: row.score.facts["ceiling"]),
    Column("reference", lambda d: d.contrast.reference, True),
    Column("num_paired", lambda d: d.value.num, True),
    Column("difference", lambda d: d.value.mean, True, "difference", _signed),
    Column("low", lambda d: d.value.low, True),
    Column("high", lambda d: d.value.high, True),
    Column("bootstrap_low", lambda d: d.bootstrap[0], True, "bootstrap 95 %", _bootstrap),
    Column("bootstrap_high", lambda d: d.bootstrap[1], True),
    Column("relative", lambda d: d.relative, True, "relative", _relative),
    Column("p_value", lambda d: d.p_value, True, "p (paired t)", lambda _, d: _p_value(d.p_value)),
    Column("q_value", lambda d: d.q_value, True, "corrected p", lambda _, d: _p_value(d.q_value)),
    Column("detectable_difference", lambda d: d.detectable, True, "detectable", _detectable),
    Column("incomplete", lambda row: row.score.incomplete),
)
STATISTICS = tuple(column for column in COLUMNS if column.heading)


def flat_rows(scores: Sequence[ScoreComparison]) -> Iterator[dict[str, Any]]:
    """Yield one flat row per score, arm and contrast, unrounded; shares in 0..1."""
    for score in scores:
        for arm in score.arms:
            own = [d for d in score.differences if d.contrast.arm == arm.arm]
            row = Row(score, arm)
            if not own:
                yield {c.key: None if c.is_of_difference else c.value(row) for c in COLUMNS}
            about = {c.key: c.value(row) for c in COLUMNS if not c.is_of_difference}
            for d in own:
                yield about | {c.key: c.value(d) for c in COLUMNS if c.is_of_difference}


def pick(found: object, *paths: str) -> dict[str, Any]:
    """Return attributes of an object by the last name of their dotted paths."""
    return {path.rpartition(".")[2]: attrgetter(path)(found) for path in paths}


def csv_text(fields: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows as CSV; arrays joined by spaces."""
    file = io.StringIO()
    writer = csv.DictWriter(file, fields, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        joined = {k: " ".join(map(str, v)) for k, v in row.items() if isinstance(v, list)}
        writer.writerow({**row, **joined})
    return file.getvalue()


def find_references(comparison: Comparison) -> list[str]:
    """Return the arms that others are compared with, the baseline first."""
    return list(dict.fromkeys(c.reference for c in comparison.contrasts))


def headings(comparison: Comparison) -> list[str]:
    """Return the headings over `cells`."""
    gaps = [f"vs {reference} [95 %]" for reference in find_references(comparison)]
    return ["mean ± s.e.", *gaps, "seeds"]


def cells(comparison: Comparison, score: ScoreComparison, arm: ArmScore) -> list[str]:
    """Return an arm's cells in a score: mean with s.e., each difference, number of seeds."""
    gaps = [difference_cell(score, arm, reference) for reference in find_references(comparison)]
    num = len(arm.by_seed)
    return [mean_cell(score, arm), *gaps, f"{num} of {num + len(arm.missing)}"]


def mean_cell(score: ScoreComparison, arm: ArmScore) -> str:
    """Return an arm's mean with its standard error over seeds."""
    if arm.value is None:
        return "no value"
    mean = number(arm.value.mean, score.is_share)
    if arm.value.stderr is None:
        return mean
    return f"{mean} ± {number(arm.value.stderr, score.is_share)}"


def difference_cell(score: ScoreComparison, arm: ArmScore, reference: str) -> str:
    """Return an arm's difference to a reference with its interval, empty if they are not compared."""
    for d in score.differences:
        if (d.contrast.arm, d.contrast.reference) == (arm.arm, reference):
            mean = signed(d.value.mean, score.is_share).removesuffix(" points")
            between = interval(d.value, score.is_share, ", ")
            return f"{mean} [{between}]" if between else f"{mean} (one seed)"
    return ""


def title(score: ScoreComparison) -> str:
    """Return the heading of a score on a terminal."""
    seen = " or ".join(f"{n:,}" for n in sorted(set(score.samples_seen.values())))
    notes = [*_fact_notes(score), f"{seen} samples seen", trained_on(score), score.incomplete]
    return f"{score.name} ({', '.join(filter(None, notes))})"


def page_note(score: ScoreComparison) -> str:
    """Return what the page says of a score beside its name."""
    baselines = baselines_in_words(score)
    notes = [
        measure_title(score.measure),
        *_fact_notes(score),
        trained_on(score),
        score.incomplete,
        f"{BESIDE} {baselines}" if baselines else "",
        "" if score.higher_is_better else "lower is better",
        "describes, does not judge" if score.is_diagnostic else "",
    ]
    return ", ".join(filter(None, notes))


def _fact_notes(score: ScoreComparison) -> list[str]:
    return [note(score) for note in FACTS.values() if note]


def trained_on(score: ScoreComparison) -> str:
    """Return which arms learn from what the score asks for, and which pictures they saw; empty if none does."""
    arms = " and ".join(sorted(score.taught))
    return f"trained on by {arms}{score.seen_in_words}" if arms else ""


def baselines_in_words(score: ScoreComparison) -> str:
    """Return what trivial models score on the same judgments with 95 % intervals, empty without any."""
    parts = []
    for baseline in score.baselines:
        edges = [number(v, score.is_share) for v in baseline.interval or ()]
        shown = f"{baseline.name} {number(baseline.value, score.is_share)}"
        parts.append(f"{shown} [{', '.join(edges)}]" if edges else shown)
    return ", ".join(parts)
