"""Content of the report page. `templates/report.html` defines its layout."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, product
from typing import Any, NamedTuple

from perceptinit.analysis.comparison import ALL, Comparison, Difference, ScoreComparison
from perceptinit.analysis.questions import ANSWERS, WORTH, YES_OR_NO, Case, choose
from perceptinit.grouping import group
from perceptinit.reports.columns import find_references
from perceptinit.reports.figures import Figure
from perceptinit.reports.plots import curve_figure, difference_figure
from perceptinit.results.measures import is_correlation, is_perceptual
from perceptinit.verdict.headline import Judged
from perceptinit.verdict.verdict import Verdict, evidence
from perceptinit.verdict.when import When, find_when

MAX_CURVES_PER_MEASURE = 4
# key of a breakdown in records -> name of its rows
UNITS = {"by_person": "person", "by_anchor": "anchor"}


def split_paragraphs(text: str, most: int = 60) -> list[str]:
    """Split a text between sentences into paragraphs of at most `most` words if possible."""
    paragraphs: list[str] = []
    for sentence in re.split(r"(?<=[.!?]) (?=[A-Z])", text):
        if paragraphs and len(f"{paragraphs[-1]} {sentence}".split()) <= most:
            paragraphs[-1] += f" {sentence}"
        else:
            paragraphs.append(sentence)
    return paragraphs


def rule_in_words(score: ScoreComparison) -> str:
    """Return a description of the decision rule."""
    rule = score.rule
    within = f"; without a {rule.words.delta}, arms cannot be called equivalent"
    if rule.delta is not None:
        within = (
            f", and one within ±{score.magnitude(rule.delta)} ({rule.words.stated_delta}) is equivalent. "
            "'Worth it' needs an interval beyond delta"
        )
    sides = f"An interval on one side of 0 is better or worse{within}"
    text = f"{sides}. Any other interval leaves the question open."
    if rule.last is None:
        return text
    levels = sorted({f"{100 * d.confidence:.1f}" for d in score.differences})
    when = "without a stopping rule" if rule.is_unplanned else "after each look"
    return (
        f"{text} Seeds were added {when}, from {rule.first} to at most {rule.last}. The intervals have a "
        f"level of {' or '.join(levels)} %, so that 95 % hold at every look (repeated confidence intervals)."
    )


def answer_in_words(verdict: Verdict) -> str:
    """Return yes or no if the question asks whether the arm is better, else the outcome.

    An arm is worth it only if its interval is beyond delta. Questions on structure depend on all controls, so
    only the summary answers them.
    """
    is_worth = verdict.question == WORTH
    is_settled = verdict.is_firm if is_worth else not verdict.question.structure
    answers = YES_OR_NO if verdict.question.asks_for_better and is_settled else ANSWERS
    return choose(answers, verdict.outcome, verdict.case)


def evidence_in_words(verdict: Verdict, difference: Difference, score: ScoreComparison) -> str:
    """Return the interval and number of seeds of an answer, or why there is no answer."""
    if verdict.case is Case.BARRED:
        return verdict.sentence
    return evidence(difference, score) if difference.has_interval else ""


class Card(NamedTuple):
    """The card of an answer: its difference, if there is one, the answer in words, and its evidence."""

    verdict: Verdict
    difference: Difference | None
    answer: str
    evidence: str


def list_cards(judged: Judged) -> Iterator[Card]:
    """Yield a card for each answer of the headline."""
    score = judged.comparison.primary
    for verdict in judged.answers:
        found = score.difference(verdict.contrast) if score else None
        shown = evidence_in_words(verdict, found, score) if score and found else ""
        yield Card(verdict, found, answer_in_words(verdict), shown)


def find_scale(cards: Sequence[Card]) -> float:
    """Return the scale at which the differences of all cards fit into a bar."""
    differences = [card.difference for card in cards if card.difference]
    ends = [(d.tested.low or 0.0, d.tested.high or 0.0, *d.by_seed.values()) for d in differences]
    widest = max(map(abs, chain(*ends)), default=0.0)
    return 95 / widest if widest else 0.0


def difference_figures(comparison: Comparison) -> list[Figure]:
    """Return a dot plot of differences for each reference."""
    figures = (difference_figure(comparison, reference) for reference in find_references(comparison))
    return list(filter(None, figures))


def curve_figures(comparison: Comparison) -> list[Figure]:
    """Return the figures of all curves: the primary measure first, then perceptual measures, then others."""
    first = comparison.primary
    scores = list(_curve_scores(comparison))
    scores.sort(key=lambda s: (not first or s.measure != first.measure, not is_perceptual(s.measure)))
    return list(filter(None, (curve_figure(comparison, score) for score in scores)))


def _curve_scores(comparison: Comparison) -> Iterator[ScoreComparison]:
    """Yield the scores to plot: each data set of a measure, or the average of many data sets."""
    wanted = [s for s in comparison.scores if is_perceptual(s.measure) or not s.is_diagnostic]
    for measure in dict.fromkeys(s.measure for s in wanted):
        of_measure = [s for s in wanted if s.measure == measure]
        if len(of_measure) > MAX_CURVES_PER_MEASURE:
            of_measure = [s for s in comparison.averages if (s.measure, s.family) == (measure, ALL)]
        yield from of_measure


def find_leads(comparison: Comparison) -> list[When]:
    """Return when leads emerge in the primary measure, on each data set and on average; empty if unknown."""
    primary = comparison.primary
    scores = [score for score in comparison.all_scores if primary and score.measure == primary.measure]
    return find_when(comparison, scores)


@dataclass(frozen=True, slots=True)
class Breakdown:
    """A score by person or anchor, in ascending order, with a column per arm.

    The last column, if recorded, is the agreement of each person with the other people.
    """

    title: str
    headings: list[str]
    rows: list[list[str]]


def find_breakdowns(comparison: Comparison) -> Iterator[Breakdown]:
    """Yield the recorded final scores of finished runs by person and by anchor."""
    last = [(run.arm, row) for run in comparison.runs.finished for row in run.last_scores]
    for score, (key, unit) in product(comparison.scores, UNITS.items()):
        found = [(arm, row["extra"].get(key)) for arm, row in last if row["name"] == score.name]
        by_arm = group((arm, rows) for arm, rows in found if rows)
        every = [rows for seeds in by_arm.values() for rows in seeds]
        shared = [name for name in every[0] if all(name in rows for rows in every)] if every else []
        if not shared:
            continue
        means = {
            name: [sum(rows[name]["value"] for rows in seeds) / len(seeds) for seeds in by_arm.values()]
            for name in shared
        }
        headings = [unit, *by_arm]
        shared.sort(key=lambda name: sum(means[name]))
        table = [[name, *map(score.number, means[name])] for name in shared]
        others = [every[0][name].get("others") for name in shared]
        if any(value is not None for value in others):
            headings.append("the other people")
            for cells, value in zip(table, others, strict=True):
                cells.append("" if value is None else score.number(value))
        yield Breakdown(f"Each {unit} in {score.name}", headings, table)


def find_examples(comparison: Comparison) -> dict[str, Any]:
    """Return the judgments on which models and people differ, by score; None for scores of matrices."""
    rows = (row for run in comparison.runs.finished for row in run.scores)
    found = {row["name"]: row["extra"]["examples"] for row in rows if row["extra"].get("examples")}
    shown = [s.name for s in comparison.scores if s.name in found or is_correlation(s.measure)]
    return {name: found.get(name) for name in shown if found}
