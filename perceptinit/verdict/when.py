"""When leads emerge, in words: the answers of `compare --when`, by score and contrast."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from perceptinit.analysis.comparison import Comparison, Difference, ScoreComparison
from perceptinit.analysis.curves import all_curves, pair_curves
from perceptinit.analysis.emergence import Emergence, find_emergence
from perceptinit.analysis.questions import Outcome
from perceptinit.grouping import group
from perceptinit.verdict.verdict import decide

NO_EVALUATIONS = (
    "--when needs runs with two common evaluations and two seeds. Evaluate during pretraining, with "
    'every = "epoch" or a number of steps in [[eval]]'
)
HOW = (
    "Emerged: evaluations are tested from the last one backwards, at the level of the verdict (one-sided "
    "2.5 % for a single contrast), until one does not show the lead. Late: in the last quarter. Again: an "
    "earlier lead was lost. Fading: a lead exceeds the last one. Lasting: not fading, over a quarter of the "
    "samples or half the evaluations."
)


@dataclass(frozen=True, slots=True)
class When:
    """When the lead of a contrast emerges in a score."""

    score: ScoreComparison
    difference: Difference
    found: Emergence
    unit: str

    @property
    def course(self) -> str:
        """Return whether the lead emerged late, lasts or fades, in words; empty if none of them applies."""
        found = self.found
        words = ["late"] if found.is_late else []
        words += ["lasting"] if found.is_lasting else []
        if found.peak is not None:
            first = f"{self.score.signed(found.leads[found.peak].mean)} at {found.peak:,}"
            last = f"{self.score.signed(found.leads[found.end].mean)} at {found.end:,}"
            words.append(f"fading from {first} to {last}")
        return ", ".join(words)

    @property
    def moment(self) -> str:
        """Return when the lead emerged, as an upper limit and, if it is informative, a lower limit."""
        found = self.found
        if found.emerged is None:
            return "not emerged"
        again = "again " if found.is_again else ""
        by = f"emerged {again}by {found.emerged:,} {self.unit}"
        text = by if found.emerged else "emerged before pretraining"
        is_known = found.not_before not in (None, min(found.leads))
        return f"{text}, not before {found.not_before:,}" if is_known else text

    @property
    def sentence(self) -> str:
        """Return the answer in words."""
        course = f" ({self.course})" if self.course else ""
        return f"{self.difference.contrast.title}, {self.score.name}: {self.moment}{course}."


def find_when(comparison: Comparison, scores: Sequence[ScoreComparison]) -> list[When]:
    """Return the answers for scores that rank arms, by contrast and in order of emergence, with means first.

    Only scores with two common evaluations and two seeds have an answer.
    """
    found: list[When] = []
    for score in scores:
        if not score.is_diagnostic:
            found += _find_in(comparison, score)
    order = comparison.contrasts

    def place(each: When) -> tuple[int, int, bool, int, str]:
        emerged = each.found.emerged
        contrast = order.index(each.difference.contrast)
        return contrast, -each.score.num_sets, emerged is None, emerged or 0, each.score.name

    return sorted(found, key=place)


def _find_in(comparison: Comparison, score: ScoreComparison) -> Iterator[When]:
    """Yield the answer for each contrast in a score."""
    curves = all_curves(comparison, score)
    for difference in score.differences:
        contrast = difference.contrast
        if contrast.barred:
            continue
        arm = curves[contrast.arm]
        until = {score.samples_seen[contrast.arm], score.samples_seen[contrast.reference]}
        leads = pair_curves(arm, curves[contrast.reference], difference.by_seed, score.sign)
        leads = {num: values for num, values in leads.items() if num <= min(until)}
        last = None
        ends_ahead = None
        if {max(leads, default=0)} == until:  # the arms have equal budgets
            last = score.improvement(difference.tested)
            ends_ahead = decide(difference, replace(score.rule, delta=None), score.sign) is Outcome.BETTER
        floor = score.floor / score.num_sets**0.5
        confidence = score.rule.level_for(contrast.num_family)  # earlier leads have their own spread
        found = find_emergence(leads, confidence, floor, last, ends_ahead)
        if found:
            yield When(score, difference, found, comparison.runs.source.progress.seen)


def when_lines(found: Sequence[When]) -> list[str]:
    """Return the answers as sentences, and in how many data sets a lead would emerge by chance."""
    return [*(each.sentence for each in found), *_expected_by_chance(found), HOW]


def _expected_by_chance(found: Sequence[When]) -> Iterator[str]:
    """Yield for each measure in how many data sets leads emerged, and how many are expected by chance."""
    by_measure = group((each.score.measure, each) for each in found if each.score.num_sets == 1)
    for measure, of_measure in by_measure.items():
        counts = []
        for title, own in group((each.difference.contrast.title, each) for each in of_measure).items():
            num = sum(each.found.emerged is not None for each in own)
            chance = sum((1 - each.difference.confidence) / 2 for each in own)
            counts.append(f"{title} in {num} of {len(own)} ({chance:.3g} expected by chance)")
        yield f"Data sets of {measure} in which a lead emerged: {'; '.join(counts)}."


def when_rows(found: Sequence[When]) -> Iterator[dict[str, Any]]:
    """Yield a flat, unrounded row per answer, for CSV and JSON."""
    for each in found:
        contrast = each.difference.contrast
        lead, low, high = each.found.table.tolist()
        yield {
            "score": each.score.name,
            "arm": contrast.arm,
            "reference": contrast.reference,
            "emerged_by": each.found.emerged,
            "not_before": each.found.not_before,
            "late": each.found.is_late,
            "lasting": each.found.is_lasting,
            "again": each.found.is_again,
            "fading_from": each.found.peak,
            "samples_seen": list(each.found.leads),
            "lead": lead,
            "low": low,
            "high": high,
        }
