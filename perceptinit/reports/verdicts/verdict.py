"""What came out of one contrast in one score: by how much, how sure, and what cannot be said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from perceptinit.reports.comparison import Comparison, Difference, ScoreComparison
from perceptinit.reports.contrasts import AGAINST, TAUGHT, WORTH, Contrast, Question
from perceptinit.reports.numbers import interval, magnitude, signed
from perceptinit.reports.verdicts.decisions import MOST_MORE_SEEDS, probabilities, seeds_to_decide

Outcome = Literal["better", "worse", "equivalent", "undecided", "equal", "one seed", "missing", "barred"]
SIDES = ("better", "worse")
DECIDED = (*SIDES, "equivalent", "equal")

# below, figures that are derived from a difference say more than the seeds do
MIN_SEEDS_DERIVED = 5


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to a contrast's question in one score; `sentence` has the effect and its interval."""

    contrast: Contrast
    question: Question
    outcome: Outcome
    sentence: str

    @property
    def is_decided(self) -> bool:
        return self.outcome in DECIDED


def verdicts(comparison: Comparison, score: ScoreComparison) -> list[Verdict]:
    """Return one verdict per contrast, in the comparison's order."""
    return [verdict(score, contrast) for contrast in comparison.contrasts]


def verdict(score: ScoreComparison, contrast: Contrast) -> Verdict:
    """Return the verdict on a contrast, by the score's rule.

    A side is taken only when the interval excludes 0, and arms are equivalent only when it lies within delta.
    """
    question = question_in(score, contrast)
    difference = score.difference(contrast)
    if contrast.barred:
        return Verdict(contrast, question, "barred", contrast.barred)
    if difference is None:
        arms = f"{contrast.arm} and {contrast.reference}"
        nothing = f"{arms} have no seed in common: nothing to say."
        return Verdict(contrast, question, "missing", nothing)
    outcome = _outcome(difference, score)
    return Verdict(contrast, question, outcome, _sentence(outcome, difference, score))


def question_in(score: ScoreComparison, contrast: Contrast) -> Question:
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
    """Return whether a difference is decided, by seeds enough for figures derived from it, such as ratios."""
    difference = score.difference(contrast)
    if difference is None or contrast.barred or difference.value.num < MIN_SEEDS_DERIVED:
        return False
    return _outcome(difference, score) in SIDES


def _outcome(difference: Difference, score: ScoreComparison) -> Outcome:
    if difference.value.num == 1:
        return "one seed"
    if all(value == 0 for value in difference.by_seed.values()):
        return "equal"
    decision = score.rule.decide(difference.value)
    if decision is None or decision == "equivalent":
        return decision or "undecided"
    return "better" if (decision == "above") == score.higher_is_better else "worse"


def _sentence(outcome: Outcome, difference: Difference, score: ScoreComparison) -> str:
    arm, reference = difference.contrast.arm, difference.contrast.reference
    size = magnitude(difference.value.mean, score.is_share)
    effect = f"{signed(difference.value.mean, score.is_share)} ({evidence(difference, score)})"
    if outcome == "equal":
        return f"{arm} equals {reference} exactly in every seed ({_seeds_in_words(difference.value.num)})."
    if outcome == "one seed":
        side = "above" if difference.value.mean > 0 else "below"
        where = f"is {size} {side}" if difference.value.mean else "scores exactly as"
        one = "in the one seed that both have: how sure that is cannot be said."
        return f"{arm} {where} {reference} {one}"
    if outcome == "equivalent":
        within = magnitude(score.rule.delta or 0.0, score.is_share)
        return f"{arm} is equivalent to {reference} within {within}: {effect}."
    if outcome == "undecided":
        return f"{arm} against {reference} is undecided: {effect}. {_outlook(difference, score)}"
    relative = ""
    if difference.relative and difference.value.num >= MIN_SEEDS_DERIVED:
        relative = f"{abs(100 * difference.relative):.1f} % of {reference}'s score; "
    found = evidence(difference, score)
    return f"{arm} is {outcome} than {reference} by {size} ({relative}{found})."


def evidence(difference: Difference, score: ScoreComparison) -> str:
    """Return interval and seeds of a difference and, where delta is stated, how probable each answer is."""
    looks = " at every look" if score.rule.is_repeated else ""
    between = interval(difference.value, score.is_share)
    text = f"95 % interval{looks} {between}, {_seeds_in_words(difference.value.num)}"
    found = score.rule.delta and probabilities(difference.value, score.rule.delta)
    if not found:
        return text
    better, within, worse = (
        ">0.99" if chance > 0.99 else "<0.01" if chance < 0.01 else f"{chance:.2f}"
        for chance in (found[::-1] if score.higher_is_better else found)
    )
    delta = magnitude(score.rule.delta or 0.0, score.is_share)
    return f"{text}; probability of better by more than {delta} {better}, within {within}, worse {worse}"


def _outlook(difference: Difference, score: ScoreComparison) -> str:
    """Return what would decide a difference, or that nothing more is to come."""
    num = difference.value.num
    if score.rule.last is not None and num >= score.rule.last:
        return (
            f"That is the final answer: {num} seeds are the most that the plan allows, and they leave open "
            f"what lies within the interval."
        )
    if score.rule.delta is None:
        return _power(difference.detectable or 0.0, score.is_share)
    more = seeds_to_decide(tuple(difference.by_seed.values()), score.rule)
    if more is None:
        most = (score.rule.last or num + MOST_MORE_SEEDS) - num
        return f"Not even {_seeds_in_words(most)} more would decide it with 80 % chance."
    return f"{_seeds_in_words(more).capitalize()} more would decide it with 80 % chance."


def _power(detectable: float, is_share: bool) -> str:
    """Return what seeds that vary as these do could have shown (with 80 % chance)."""
    if is_share and detectable > 1:
        return "Seeds that vary as these do are too few to show any difference reliably."
    return (
        f"With seeds that vary as these do, a true difference of {magnitude(detectable, is_share)} "
        "would be shown in 8 of 10 such experiments. The recipe states no [verdict] delta, so that the arms "
        "cannot be called equivalent."
    )


def _seeds_in_words(num: int) -> str:
    return f"{num} seed{'s' if num > 1 else ''}"
