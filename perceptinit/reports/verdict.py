"""What came out of one contrast in one score: by how much, how sure, and what cannot be said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from perceptinit.reports.comparison import Comparison, Difference, ScoreComparison
from perceptinit.reports.contrasts import AGAINST, WORTH, Contrast
from perceptinit.reports.numbers import interval, magnitude, signed

Outcome = Literal["better", "worse", "open", "equal", "one seed", "missing"]

TAUGHT = "Does it know the task that it was trained on?"
# below, figures that are derived from a difference say more than the seeds do
MIN_SEEDS_DERIVED = 5


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to a contrast's question in one score; `sentence` has the effect and its interval."""

    contrast: Contrast
    question: str
    outcome: Outcome
    sentence: str

    @property
    def is_decided(self) -> bool:
        return self.outcome in ("better", "worse")


def verdicts(comparison: Comparison, score: ScoreComparison) -> list[Verdict]:
    """Return one verdict per contrast, in the comparison's order."""
    return [verdict(score, contrast) for contrast in comparison.contrasts]


def verdict(score: ScoreComparison, contrast: Contrast) -> Verdict:
    """Return the verdict on a contrast: a side is taken only when the interval excludes 0."""
    question = question_in(score, contrast)
    difference = score.difference(contrast)
    if difference is None:
        sentence = (
            f"{contrast.arm} and {contrast.reference} have no seed in common: nothing to say."
        )
        return Verdict(contrast, question, "missing", sentence)
    outcome = _outcome(difference, score.higher_is_better)
    return Verdict(contrast, question, outcome, _sentence(outcome, difference, score))


def question_in(score: ScoreComparison, contrast: Contrast) -> str:
    """Return what a contrast asks in a score.

    A task that the arm was trained on, and one without pretraining before it, cannot say what a start
    is worth.
    """
    if contrast.arm in score.taught:
        return TAUGHT
    if contrast.question == WORTH and not is_pretrained(score):
        return AGAINST.format(contrast.reference)
    return contrast.question


def is_pretrained(score: ScoreComparison) -> bool:
    return any(score.samples_seen.values())


def can_be_derived_from(score: ScoreComparison, contrast: Contrast) -> bool:
    """Say whether a difference is decided, by seeds enough for figures derived from it, such as ratios."""
    difference = score.difference(contrast)
    is_enough = difference is not None and difference.value.num >= MIN_SEEDS_DERIVED
    return is_enough and verdict(score, contrast).is_decided


def _outcome(difference: Difference, higher_is_better: bool) -> Outcome:
    if all(value == 0 for value in difference.by_seed.values()):
        return "equal"
    sign = difference.value.sign
    if sign is None:
        return "one seed"
    if sign == 0:
        return "open"
    return "better" if (sign > 0) == higher_is_better else "worse"


def _sentence(outcome: Outcome, difference: Difference, score: ScoreComparison) -> str:
    arm, reference = difference.contrast.arm, difference.contrast.reference
    size = magnitude(difference.value.mean, score.is_share)
    evidence = f"95 % interval {interval(difference.value, score.is_share)}, {_seeds(difference)}"
    if outcome == "equal":
        return f"{arm} equals {reference} exactly in every seed ({_seeds(difference)})."
    if outcome == "one seed":
        side = "above" if difference.value.mean > 0 else "below"
        return (
            f"{arm} is {size} {side} {reference} in the one seed that both have: "
            "how sure that is cannot be said."
        )
    if outcome == "open":
        return (
            f"{arm} is not shown to differ from {reference}: "
            f"{signed(difference.value.mean, score.is_share)} ({evidence}). "
            f"{_power(difference.detectable or 0.0, score.is_share)}"
        )
    if difference.relative and difference.value.num >= MIN_SEEDS_DERIVED:
        evidence = f"{abs(100 * difference.relative):.1f} % of {reference}'s score; {evidence}"
    return f"{arm} is {outcome} than {reference} by {size} ({evidence})."


def _power(detectable: float, is_share: bool) -> str:
    """Return what seeds that vary as these do could have shown (with 80 % chance)."""
    if is_share and detectable > 1:
        return "Seeds that vary as these do are too few to show any difference reliably."
    return (
        f"With seeds that vary as these do, a true difference of {magnitude(detectable, is_share)} "
        "would be shown in 8 of 10 such experiments."
    )


def _seeds(difference: Difference) -> str:
    num = difference.value.num
    return f"{num} seed{'s' if num > 1 else ''}"
