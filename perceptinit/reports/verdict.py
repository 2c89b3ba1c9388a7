"""Sentences a reader can quote: what came out, by how much, how sure, and what cannot be said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from perceptinit.reports.comparison import Comparison, Difference, ScoreComparison
from perceptinit.reports.contrasts import STRUCTURE, WORTH, Contrast
from perceptinit.reports.statistics import Estimate
from perceptinit.results.measures import measure_title

Outcome = Literal["better", "worse", "open", "equal", "one seed", "missing"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to a contrast's question in one score; `sentence` has the effect and its interval."""

    contrast: Contrast
    outcome: Outcome
    sentence: str


def verdicts(comparison: Comparison, score: ScoreComparison) -> list[Verdict]:
    """Return one verdict per contrast, in the comparison's order."""
    return [verdict(score, contrast) for contrast in comparison.contrasts]


def verdict(score: ScoreComparison, contrast: Contrast) -> Verdict:
    """Return the verdict on a contrast: a side is taken only when the interval excludes 0."""
    difference = score.difference(contrast)
    if difference is None:
        sentence = (
            f"{contrast.arm} and {contrast.reference} have no seed in common: nothing to say."
        )
        return Verdict(contrast, "missing", sentence)
    outcome = _outcome(difference, score.higher_is_better)
    return Verdict(contrast, outcome, _sentence(outcome, difference, score))


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
    if difference.relative:
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


def reading(comparison: Comparison, score: ScoreComparison, arm: str) -> str:
    """Return how the two contrasts of an arm read together; empty when it has only one of them."""
    own = {v.contrast.question: v for v in verdicts(comparison, score) if v.contrast.arm == arm}
    if WORTH not in own or STRUCTURE not in own:
        return ""
    return _READINGS.get(
        (_side(own[WORTH].outcome), _side(own[STRUCTURE].outcome)),
        "These runs do not settle it.",
    )


def _side(outcome: Outcome) -> str:
    return outcome if outcome in ("better", "worse") else "open"


_READINGS = {
    ("better", "better"): "It is worth it, and it is the human structure that helps.",
    ("better", "open"): "It is worth it, but shuffled votes are not shown to do worse: "
    "that the human structure helps is not shown.",
    ("better", "worse"): "It is worth it, but shuffled votes do better still: "
    "it is not the human structure that helps.",
    ("open", "better"): "Human votes do better than shuffled ones, but a lead over the baseline "
    "is not shown: that it is worth it is not shown.",
    ("open", "worse"): "Human votes do worse than shuffled ones, and a lead over the baseline "
    "is not shown.",
    ("worse", "better"): "It is not worth it: the baseline does better, although human votes do "
    "better than shuffled ones.",
    ("worse", "open"): "It is not worth it: the baseline does better.",
    ("worse", "worse"): "It is not worth it: the baseline and shuffled votes both do better.",
}


SIMULATED_PEOPLE = "The people are simulated: this says how the machinery works, and nothing about human perception."


def headline_arms(comparison: Comparison) -> list[str]:
    """Return the arms that have both contrasts, or every arm but the baseline when none has."""
    both = [c.arm for c in comparison.contrasts if c.question == STRUCTURE]
    return list(dict.fromkeys(both or [c.arm for c in comparison.contrasts]))


def headline(comparison: Comparison) -> list[str]:
    """Return the summary: what was measured on how much, then each contrast, then how they read.

    Both contrasts of an arm stand together; see `contrasts`.
    """
    score = comparison.primary
    if score is None:
        return ["No run has finished with a score that could be compared."]
    sentences = [_what(score)]
    for arm in headline_arms(comparison):
        own = [v for v in verdicts(comparison, score) if v.contrast.arm == arm]
        sentences += [f"{v.contrast.question} {v.sentence}" for v in own]
        both = reading(comparison, score, arm)
        if both:
            sentences.append(both)
    if comparison.runs.is_simulated:
        sentences.append(SIMULATED_PEOPLE)
    return sentences


def _what(score: ScoreComparison) -> str:
    counts = sorted(set(score.samples_seen.values()))
    seen = " and ".join(f"{n:,}" for n in counts)
    after = f"after {seen} image-text pairs seen" if counts != [0] else "without pretraining"
    over = (
        f"{measure_title(score.measure)} as the mean over {score.num_sets} data sets"
        if score.num_sets > 1
        else f"{measure_title(score.measure)} on {score.data_set}"
    )
    return f"{over[0].upper()}{over[1:]}, {after}."


def _seeds(difference: Difference) -> str:
    num = difference.value.num
    return f"{num} seed{'s' if num > 1 else ''}"


def number(value: float, is_share: bool) -> str:
    """Return a score as people read it: per cent for shares, three decimals for others."""
    return f"{100 * value:.1f}" if is_share else f"{value:.3f}"


def signed(value: float, is_share: bool) -> str:
    """Return a difference with its sign and unit."""
    return f"{100 * value:+.1f} points" if is_share else f"{value:+.3f}"


def magnitude(value: float, is_share: bool) -> str:
    """Return the size of a difference with its unit."""
    return f"{abs(100 * value):.1f} points" if is_share else f"{abs(value):.3f}"


def interval(value: Estimate, is_share: bool, between: str = " to ") -> str:
    """Return an interval of a difference: `+0.4 to +3.8`; empty for a single value."""
    if value.low is None or value.high is None:
        return ""
    factor, digits = (100, 1) if is_share else (1, 3)
    return f"{factor * value.low:+.{digits}f}{between}{factor * value.high:+.{digits}f}"
