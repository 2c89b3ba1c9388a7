"""Columns of results: the source of each value, and its format in tables, files and on the page.

To add a field of `Score`, add it to `FACTS` in results/measures.py and, for CSV and JSON, to `COLUMNS`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from perceptinit.analysis.comparison import ArmScore, Comparison, Difference, ScoreComparison
from perceptinit.analysis.numbers import interval, number, signed
from perceptinit.results.measures import measure_title
from perceptinit.verdict.verdict import can_be_derived_from

BESIDE = "the same judgments by"


def _note_chance(score: ScoreComparison) -> str:
    chance = score.facts["chance"]
    return "" if chance is None else f"chance {number(chance, score.is_share)}"


def _note_ceiling(score: ScoreComparison) -> str:
    bounds = [score.facts[key] for key in ("lower_ceiling", "ceiling")]
    people = " to ".join(number(v, score.is_share) for v in bounds if v is not None)
    return f"human ceiling {people}" if people else ""


def _note_num_examples(score: ScoreComparison) -> str:
    return f"{score.facts['num_examples']:,} examples"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of CSV and JSON.

    Attributes:
        key: Name of the column.
        value: Returns the unrounded value for a score and an arm, with shares in [0, 1].
        of_difference: Returns the unrounded value for a difference.
        heading: Heading in the page's table of statistics, if shown there.
        text: Formats a difference for that table.
    """

    key: str
    value: Callable[[ScoreComparison, ArmScore], Any] | None = None
    of_difference: Callable[[Difference], Any] | None = None
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
    Column("score", lambda s, _: s.name),
    Column("measure", lambda s, _: s.measure),
    Column("data_set", lambda s, _: s.data_set),
    Column("family", lambda s, _: s.family),
    Column("num_sets", lambda s, _: s.num_sets),
    Column("samples_seen", lambda s, arm: s.samples_seen.get(arm.arm)),
    Column("arm", lambda _, arm: arm.arm),
    Column("num_seeds", lambda _, arm: len(arm.by_seed)),
    Column("missing_seeds", lambda _, arm: list(arm.missing)),
    Column("mean", lambda _, arm: arm.value.mean if arm.value else None),
    Column("stderr", lambda _, arm: arm.value.stderr if arm.value else None),
    Column("chance", lambda s, _: s.facts["chance"]),
    Column("lower_ceiling", lambda s, _: s.facts["lower_ceiling"]),
    Column("ceiling", lambda s, _: s.facts["ceiling"]),
    Column("reference", None, lambda d: d.contrast.reference),
    Column("num_paired", None, lambda d: d.value.num),
    Column("difference", None, lambda d: d.value.mean, "difference", _signed),
    Column("low", None, lambda d: d.value.low),
    Column("high", None, lambda d: d.value.high),
    Column("bootstrap_low", None, lambda d: d.bootstrap[0], "bootstrap 95 %", _bootstrap),
    Column("bootstrap_high", None, lambda d: d.bootstrap[1]),
    Column("relative", None, lambda d: d.relative, "relative", _relative),
    Column("p_value", None, lambda d: d.p_value, "p (paired t)", lambda _, d: _p_value(d.p_value)),
    Column("q_value", None, lambda d: d.q_value, "corrected p", lambda _, d: _p_value(d.q_value)),
    Column("detectable_difference", None, lambda d: d.detectable, "detectable", _detectable),
    Column("incomplete", lambda s, _: s.incomplete),
)
STATISTICS = tuple(column for column in COLUMNS if column.heading)


def flat_rows(scores: Sequence[ScoreComparison]) -> Iterator[dict[str, Any]]:
    """Yield a flat, unrounded row per score, arm and contrast, with shares in [0, 1]."""
    for score in scores:
        for arm in score.arms:
            row = {c.key: c.value(score, arm) if c.value else None for c in COLUMNS}
            own = [d for d in score.differences if d.contrast.arm == arm.arm]
            for d in own:
                yield row | {c.key: c.of_difference(d) for c in COLUMNS if c.of_difference}
            if not own:
                yield row


def csv_text(fields: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows as CSV, with list items joined by spaces."""
    file = io.StringIO()
    writer = csv.DictWriter(file, fields, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        joined = {k: " ".join(map(str, v)) for k, v in row.items() if isinstance(v, list)}
        writer.writerow({**row, **joined})
    return file.getvalue()


def find_references(comparison: Comparison) -> list[str]:
    """Return the reference arms of the contrasts, with the baseline first."""
    return list(dict.fromkeys(c.reference for c in comparison.contrasts))


def headings(comparison: Comparison) -> list[str]:
    """Return the column headings for `cells`."""
    return ["mean ± s.e.", *(f"vs {name} [95 %]" for name in find_references(comparison)), "seeds"]


def cells(comparison: Comparison, score: ScoreComparison, arm: ArmScore) -> list[str]:
    """Return the table cells of an arm in a score: mean, differences, number of seeds."""
    differences = [difference_cell(score, arm, reference) for reference in find_references(comparison)]
    num = len(arm.by_seed)
    return [mean_cell(score, arm), *differences, f"{num} of {num + len(arm.missing)}"]


def mean_cell(score: ScoreComparison, arm: ArmScore) -> str:
    """Return the mean of an arm with its standard error over seeds."""
    if arm.value is None:
        return "no value"
    mean = number(arm.value.mean, score.is_share)
    if arm.value.stderr is None:
        return mean
    return f"{mean} ± {number(arm.value.stderr, score.is_share)}"


def difference_cell(score: ScoreComparison, arm: ArmScore, reference: str) -> str:
    """Return the difference from a reference with its interval; empty if not compared."""
    for d in score.differences:
        if (d.contrast.arm, d.contrast.reference) == (arm.arm, reference):
            mean = signed(d.value.mean, score.is_share).removesuffix(" points")
            between = interval(d.value, score.is_share, ", ")
            return f"{mean} [{between}]" if between else f"{mean} (one seed)"
    return ""


def title(score: ScoreComparison) -> str:
    """Return the heading of a score in a terminal table."""
    seen = " or ".join(f"{n:,}" for n in sorted(set(score.samples_seen.values())))
    notes = [*_fact_notes(score), f"{seen} samples seen", trained_on(score), score.incomplete]
    return f"{score.name} ({', '.join(filter(None, notes))})"


def page_note(score: ScoreComparison) -> str:
    """Return the note on a score for the page."""
    baselines = baselines_in_words(score)
    notes = [
        measure_title(score.measure),
        *_fact_notes(score),
        trained_on(score),
        score.incomplete,
        f"{BESIDE} {baselines}" if baselines else "",
        "" if score.higher_is_better else "lower is better",
        "descriptive only" if score.is_diagnostic else "",
    ]
    return ", ".join(filter(None, notes))


def _fact_notes(score: ScoreComparison) -> list[str]:
    return [_note_chance(score), _note_ceiling(score), _note_num_examples(score)]


def trained_on(score: ScoreComparison) -> str:
    """Return a note on arms that were trained on the task of a score, or an empty string."""
    arms = " and ".join(sorted(score.taught))
    return f"trained on by {arms}{score.seen_in_words}" if arms else ""


def baselines_in_words(score: ScoreComparison) -> str:
    """Return the scores of trivial models on a score's judgments as text; empty if there are none."""
    parts = []
    for baseline in score.baselines:
        edges = [number(v, score.is_share) for v in baseline.interval or ()]
        shown = f"{baseline.name} {number(baseline.value, score.is_share)}"
        parts.append(f"{shown} [{', '.join(edges)}]" if edges else shown)
    return ", ".join(parts)
