"""Columns of results: the source of each value, and its format in tables, files and on the page.

To add a field of `Score`, add it to `FACTS` in results/measures.py and, for CSV and JSON, to `OF_ARM`.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import Any, Self

from perceptinit.analysis.comparison import ArmScore, Comparison, Difference, ScoreComparison
from perceptinit.analysis.curves import curves_of_arm
from perceptinit.analysis.numbers import counts, number
from perceptinit.reports.stages import find_split, held_out_accuracy
from perceptinit.results.measures import is_perceptual, measure_title
from perceptinit.verdict.trivial import find_best_model, find_leads, write_leads
from perceptinit.verdict.verdict import can_be_derived_from

BESIDE = "the same judgments by"
TO_CEILING = "to people"
FORMULAS = tuple("=+-@＝＋－＠")  # first characters, also of full width, which East Asian spreadsheets read


def _relative(score: ScoreComparison, difference: Difference) -> str:
    if difference.relative is None or not can_be_derived_from(score, difference.contrast):
        return ""
    return f"{score.sign * 100 * difference.relative:+.1f} %"


# CSV and JSON: unrounded values, with shares in [0, 1], of a score and an arm, and of a difference
OF_ARM: dict[str, Callable[[ScoreComparison, ArmScore], Any]] = {
    "score": lambda score, _: score.name,
    "measure": lambda score, _: score.measure,
    "data_set": lambda score, _: score.data_set,
    "family": lambda score, _: score.family,
    "num_sets": lambda score, _: score.num_sets,
    "samples_seen": lambda score, arm: score.samples_seen.get(arm.arm),
    "arm": lambda _, arm: arm.arm,
    "num_seeds": lambda _, arm: len(arm.by_seed),
    "missing_seeds": lambda _, arm: list(arm.missing),
    "mean": lambda _, arm: arm.value.mean if arm.value else None,
    "stderr": lambda _, arm: arm.value.stderr if arm.value else None,
    "mean_low": lambda _, arm: arm.value.low if arm.value else None,
    "mean_high": lambda _, arm: arm.value.high if arm.value else None,
    "chance": lambda score, _: score.facts["chance"],
    "lower_ceiling": lambda score, _: score.facts["lower_ceiling"],
    "ceiling": lambda score, _: score.facts["ceiling"],
    "share_of_ceiling": lambda score, arm: arm.value and share_of_ceiling(score, arm.value.mean, "ceiling"),
    "share_of_lower_ceiling": lambda score, arm: (
        arm.value and share_of_ceiling(score, arm.value.mean, "lower_ceiling")
    ),
}
OF_DIFFERENCE: dict[str, Callable[[Difference], Any]] = {
    "reference": lambda d: d.contrast.reference,
    "num_paired": lambda d: len(d.by_seed),
    "difference": lambda d: d.value.mean,
    "low": lambda d: d.tested.low,
    "high": lambda d: d.tested.high,
    "num_family": lambda d: d.contrast.num_family,
    "low_over_seeds": lambda d: d.value.low,
    "high_over_seeds": lambda d: d.value.high,
    "relative": lambda d: d.relative,
    "p_value": lambda d: d.p_value,
    "detectable_difference": lambda d: d.detectable,
}
COLUMNS = (*OF_ARM, *OF_DIFFERENCE, "incomplete")
LOWER = "lower is better; differences are positive for a better arm"
# the page's table of statistics: formatted differences by heading
STATISTICS: dict[str, Callable[[ScoreComparison, Difference], str]] = {
    "difference": lambda score, d: score.signed(score.sign * d.value.mean),
    "relative": _relative,
    "detectable": lambda score, d: "" if d.detectable is None else score.number(d.detectable),
}


def flat_rows(scores: Sequence[ScoreComparison]) -> Iterator[dict[str, Any]]:
    """Yield a flat, unrounded row per score, arm and contrast, with shares in [0, 1]."""
    for score, arm in each_arm(scores):
        of_arm = {key: value(score, arm) for key, value in OF_ARM.items()}
        row = dict.fromkeys(COLUMNS) | of_arm | {"incomplete": score.incomplete}
        own = [d for d in score.differences if d.contrast.arm == arm.arm]
        for d in own:
            yield row | {key: value(d) for key, value in OF_DIFFERENCE.items()}
        if not own:
            yield row


def each_arm(scores: Iterable[ScoreComparison]) -> Iterator[tuple[ScoreComparison, ArmScore]]:
    """Yield each score with each of its arms."""
    for score in scores:
        for arm in score.arms:
            yield score, arm


def csv_text(fields: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the fields of rows as CSV, with list items joined by spaces."""
    file = io.StringIO()
    writer = csv.DictWriter(file, fields, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: _cell(value) for key, value in row.items()})
    return file.getvalue()


def _cell(value: Any) -> Any:
    """Return a value for CSV. A text that a spreadsheet would execute as a formula gets an apostrophe."""
    if isinstance(value, list):
        return " ".join(map(str, value))
    return f"'{value}" if isinstance(value, str) and value.lstrip().startswith(FORMULAS) else value


def find_references(comparison: Comparison) -> list[str]:
    """Return the reference arms of the contrasts, with the baseline first."""
    return list(dict.fromkeys(c.reference for c in comparison.contrasts))


def headings(comparison: Comparison) -> list[str]:
    """Return the column headings for `cells`."""
    references = find_references(comparison)
    differences = [f"vs {name} [{_level(comparison, name)}]" for name in references]
    words = comparison.runs.source.words
    held_out = filter(None, [held_out_title(comparison)])
    return [words.mean, *differences, *held_out, words.replicates]


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """The table of scores on the page.

    headings: headings of the cells. bodies: for each score its note, the cells of each arm, and the rows of
    trivial models, as in `list_trivial`.
    """

    headings: list[str]
    bodies: list[tuple[ScoreComparison, str, list[tuple[str, list[str]]], list[tuple[str, str, str]]]]

    @classmethod
    def of(cls, comparison: Comparison) -> Self:
        """Return the table of all scores, with averages first and diagnostics last."""
        scores = sorted([*comparison.averages, *comparison.scores], key=attrgetter("is_diagnostic"))
        bodies = []
        for score in scores:
            rows = [(arm.arm, cells(comparison, score, arm)) for arm in score.arms]
            bodies.append((score, page_note(comparison, score), rows, list(list_trivial(score))))
        return cls(headings(comparison), bodies)


def held_out_title(comparison: Comparison) -> str:
    """Return the heading of 2AFC on the held-out split of stage 1; empty if no arm reports it."""
    is_reported = any(held_out_accuracy(comparison.runs).values())
    return f"{find_split(comparison.runs)} 2AFC before, after stage 1" if is_reported else ""


def _describe_split(comparison: Comparison, score: ScoreComparison) -> str:
    """Return the split of a score on judgments, where stage 1 reports another one; empty otherwise."""
    if not is_perceptual(score.measure) or not held_out_title(comparison):
        return ""
    tables = chain(*(comparison.runs.resolved(arm).get("eval", ()) for arm in comparison.runs.arms))
    splits = {table.get("split") or "test" for table in tables if "judgments" in table}
    return f"{splits.pop()} judgments" if len(splits) == 1 else ""


def _level(comparison: Comparison, reference: str) -> str:
    """Return the level of the intervals of differences from a reference."""
    is_family = any(c.reference == reference and c.num_family > 1 for c in comparison.contrasts)
    return "simultaneous 95 %" if is_family else "95 %"


def cells(comparison: Comparison, score: ScoreComparison, arm: ArmScore) -> list[str]:
    """Return the table cells of an arm in a score: mean, differences, and the last cells."""
    differences = [difference_cell(score, arm, reference) for reference in find_references(comparison)]
    return [mean_cell(score, arm), *differences, *last_cells(comparison, arm)]


def last_cells(comparison: Comparison, arm: ArmScore) -> list[str]:
    """Return held-out 2AFC before and after stage 1, if any arm reports it, and the number of seeds."""
    num = arm.value.num if arm.is_mean and arm.value else len(arm.by_seed)
    cells = [f"{num} of {num + len(arm.missing)}"]
    if held_out_title(comparison):
        values = held_out_accuracy(comparison.runs)[arm.arm] or ()
        cells.insert(0, ", ".join(number(value, is_share=True) for value in values))
    return cells


def mean_cell(score: ScoreComparison, arm: ArmScore) -> str:
    """Return the mean of an arm with its standard error over seeds or, for models, its interval."""
    if arm.value is None:
        return "no value"
    if score.rule.one_run_decides and arm.value.low is not None and arm.value.high is not None:
        edges = ", ".join(map(score.number, (arm.value.low, arm.value.high)))
        return f"{score.number(arm.value.mean)} [{edges}]{_ceiling_note(score, arm.value.mean)}"
    parts = [arm.value.mean, arm.value.stderr]
    return " ± ".join(score.number(part) for part in parts if part is not None)


def _ceiling_note(score: ScoreComparison, value: float) -> str:
    """Return how far a score is from chance to both ends of the human ceiling; empty without a ceiling."""
    shares = [share_of_ceiling(score, value, end) for end in ("ceiling", "lower_ceiling")]
    known = [f"{100 * share:.0f}" for share in shares if share is not None]
    return f", {' to '.join(known)} % {TO_CEILING}" if known else ""


def share_of_ceiling(score: ScoreComparison, value: float, end: str) -> float | None:
    """Return the part of the way from chance to an end of the human ceiling; None without it."""
    chance = score.facts["chance"] or 0.0
    room = (score.facts[end] or 0.0) - chance
    return (value - chance) / room if room > 0 else None


def difference_cell(score: ScoreComparison, arm: ArmScore, reference: str) -> str:
    """Return the difference from a reference with its interval; empty if not compared."""
    d = score.find_pair(arm.arm, reference)
    if d is None:
        return ""
    mean = score.signed(score.sign * d.value.mean).removesuffix(" points")
    between = score.interval(score.improvement(d.tested), ", ")
    unit = "run" if d.num_runs or score.rule.one_run_decides else "seed"
    return f"{mean} [{between}]" if between else f"{mean} (one {unit})"


def title(comparison: Comparison, score: ScoreComparison) -> str:
    """Return the heading of a score in a terminal table."""
    num = counts(score.samples_seen.values())
    unit = comparison.runs.source.progress.seen
    seen = f"{num} {unit}" if unit else ""
    if not score.is_pretrained:
        seen = comparison.runs.untrained
    split = _describe_split(comparison, score)
    lower = "" if score.higher_is_better else LOWER
    notes = [split, *_fact_notes(comparison, score), seen, trained_on(score), score.incomplete, lower]
    text = ", ".join(filter(None, notes))
    return f"{score.name} ({text})" if text else score.name


def list_statistics(comparison: Comparison) -> Iterator[list[str]]:
    """Yield a row of `STATISTICS` for each score and contrast."""
    for score in (*comparison.averages, *comparison.scores):
        for d in score.differences:
            yield [score.name, d.contrast.title, *(text(score, d) for text in STATISTICS.values())]


def page_note(comparison: Comparison, score: ScoreComparison) -> str:
    """Return the note on a score for the page."""
    best = find_best_model(score)
    notes = [
        measure_title(score.measure),
        _describe_split(comparison, score),
        *_fact_notes(comparison, score),
        trained_on(score),
        score.incomplete,
        "trivial models in gray" if score.baselines else "",
        f"with the difference between {best} and each" if find_leads(score, best) else "",
        "" if score.higher_is_better else LOWER,
        "descriptive only" if score.is_diagnostic else "",
    ]
    return ", ".join(filter(None, notes))


def _fact_notes(comparison: Comparison, score: ScoreComparison) -> list[str]:
    """Return chance, the score before training, human ceiling and number of examples; empty if unknown."""
    chance = score.facts["chance"]
    bounds = [score.facts["lower_ceiling"], score.facts["ceiling"]]
    people = " to ".join(score.number(v) for v in bounds if v is not None)
    return [
        "" if chance is None else f"chance {score.number(chance)}",
        _describe_start(comparison, score),
        f"human ceiling {people}" if people else "",
        f"{score.facts['num_examples']:,} examples" if score.facts["num_examples"] else "",
    ]


def _describe_start(comparison: Comparison, score: ScoreComparison) -> str:
    """Return the score of the baseline before pretraining; empty if a seed has none, or no other score."""
    own = score.arm(comparison.runs.baseline)
    curves = curves_of_arm(comparison, score, own.arm) if score.samples_seen.get(own.arm) else {}
    values = [curves[seed][0] for seed in own.by_seed if 0 in curves.get(seed, {})]
    if not values or len(values) < len(own.by_seed):
        return ""
    when = "before training" if comparison.runs.resolved(own.arm).get("init") else "untrained"
    return f"{when} {score.number(sum(values) / len(values))}"


def trained_on(score: ScoreComparison) -> str:
    """Return a note on arms that were trained on the task of a score, or an empty string."""
    arms = " and ".join(sorted(score.taught))
    return f"the task of stage 1 in {arms}{score.seen_in_words}" if arms else ""


def list_trivial(score: ScoreComparison) -> Iterator[tuple[str, str, str]]:
    """Yield each trivial model, its score and the difference of the best model from it, with intervals."""
    leads = {
        name: f"{score.signed(lead.mean).removesuffix(' points')} [{score.interval(lead, ', ')}]"
        for name, lead in find_leads(score, find_best_model(score)).items()
    }
    for baseline in score.baselines:
        value = score.number(baseline.value)
        if baseline.interval:
            value += f" [{', '.join(map(score.number, baseline.interval))}]"
        elif baseline.error.missing:
            value += f" ({baseline.error.missing})"
        yield baseline.name, value, leads.get(baseline.name, "")


def baselines_in_words(score: ScoreComparison) -> str:
    """Return the scores of trivial models on a score's judgments, and leads of the best model, as text."""
    parts = ", ".join(f"{name} {value}" for name, value, _ in list_trivial(score))
    return "; ".join(filter(None, [parts, write_leads(score)]))
