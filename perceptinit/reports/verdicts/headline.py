"""The sentences that a reader may quote: how an arm's contrasts read together, by what the arms are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from perceptinit.reports.at_best import tuning_note
from perceptinit.reports.comparison import Comparison, ScoreComparison
from perceptinit.reports.contrasts import (
    CONTROL,
    NO_PEOPLE,
    NOISE,
    SIMULATED,
    STRUCTURE,
    STRUCTURES,
    WORTH,
    is_by_simulated_people,
)
from perceptinit.reports.numbers import magnitude
from perceptinit.reports.planning.as_planned import as_planned
from perceptinit.reports.verdicts.verdict import Verdict, is_pretrained, verdicts
from perceptinit.reports.verdicts.yardsticks import yardsticks
from perceptinit.results.measures import measure_title

NOTHING = "No run has finished with a score that could be compared."
SIMULATED_PEOPLE = "The people are simulated: this says how the machinery works, and nothing about human perception."
SIMULATED_DATA = "Pictures or captions are simulated: this says how the machinery works, and nothing about photographs."
UNEQUAL = "The arms are not equally trained: this compares procedures as they ended, and not starts alone."
TAUGHT_READING = (
    "{arm} was trained on this task{seen}: the score says what stage 1 taught and pretraining left of it, "
    "not whether the start is worth it."
)
UNTRAINED_READING = "Nothing was pretrained: what {arm} is worth to pretraining cannot be said."
_NOISE = (
    "{arm} and {reference} start alike, and no difference is shown: as it should be.{deviation}"
)
_NOISE_SHOWN = (
    "{arm} and {reference} start alike, and yet a difference is shown, as noise does in one of 20 such "
    "comparisons: believe no difference of this size elsewhere."
)
# answers that are not in the tables below are undecided
_WORTH = {
    "better": "{arm} is worth it",
    "worse": "{arm} is not worth it",
    "equivalent": "{arm} makes no difference that matters: it is equivalent to {reference} within {delta}",
    "equal": "{arm} scores exactly as {reference} does in every seed",
}
_WORTH_OPEN = "whether {arm} is worth it is undecided"
_AFTER_BETTER = {
    "better": ", and it is {structure} that helps",
    "worse": ", but shuffled votes do better still: it is not {structure} that helps",
    "equivalent": ", but shuffled votes do as well: it is not {structure} that helps",
    "equal": ", but shuffled votes do as well: it is not {structure} that helps",
}
_AFTER_BETTER_OPEN = ", but whether it is {structure} that helps is undecided"
_AFTER_OTHERS = {
    "better": ", although votes as given do better than shuffled ones",
    "worse": ", and shuffled votes do better than those given",
    "equivalent": ", and shuffled votes do as well as those given",
    "equal": ", and shuffled votes do as well as those given",
}
_AFTER_OTHERS_OPEN = ", and so is whether votes as given do better than shuffled ones"


@dataclass(frozen=True, slots=True)
class Summary:
    """What the runs say, in the score that speaks for them.

    readings: one sentence per arm of the headline, in the arms' order. measured: what, on how much.
    answers: every contrast of these arms. notes: what limits all of it.
    """

    readings: tuple[str, ...]
    measured: str
    answers: tuple[Verdict, ...]
    notes: tuple[str, ...]


def summary(comparison: Comparison) -> Summary | None:
    """Return the summary, None when no score can be compared."""
    score = comparison.primary
    if score is None:
        return None
    arms = headline_arms(comparison)
    found = [reading(comparison, score, arm) for arm in arms]
    answers = tuple(v for arm in arms for v in verdicts(comparison, score) if v.contrast.arm == arm)
    return Summary(
        tuple(text for text in found if text),
        _measured(score, comparison.runs.samples),
        answers,
        tuple(_notes(comparison, score, answers)),
    )


def _notes(
    comparison: Comparison, score: ScoreComparison, answers: Sequence[Verdict]
) -> Iterator[str]:
    runs = comparison.runs
    if len(set(score.samples_seen.values())) > 1:
        yield UNEQUAL
    yield from as_planned(comparison, answers)
    yield from tuning_note(runs)
    if any(is_by_simulated_people(runs, arm) for arm in runs.arms):
        yield SIMULATED_PEOPLE
    elif runs.is_simulated:
        yield SIMULATED_DATA


def headline(comparison: Comparison) -> list[str]:
    """Return the summary as lines: published scores, what was measured, each contrast, how they read together, notes."""
    published = [yardstick.sentence for yardstick in yardsticks(comparison)]
    found = summary(comparison)
    if found is None:
        return [*published, NOTHING]
    answers = [f"{v.question} {v.sentence}" for v in found.answers]
    return [*published, found.measured, *answers, *found.readings, *found.notes]


def undecided(comparison: Comparison) -> list[Verdict]:
    """Return the answers of the summary that more seeds may decide; empty when there is nothing to compare."""
    found = summary(comparison)
    return [] if found is None else [v for v in found.answers if not v.is_decided]


def headline_arms(comparison: Comparison) -> list[str]:
    """Return the arms that the summary speaks of: those with a shuffled control of their own.

    Without any, all but the baseline; controls only where there is nothing else.
    """
    asked = {question: _arms_asked(comparison, question) for question in (STRUCTURE, SIMULATED)}
    controls = _arms_asked(comparison, CONTROL)
    everyone = list(dict.fromkeys(c.arm for c in comparison.contrasts))
    return (
        [*asked[STRUCTURE], *asked[SIMULATED]]
        or _arms_asked(comparison, NO_PEOPLE)
        or [arm for arm in everyone if arm not in controls]
        or everyone
    )


def _arms_asked(comparison: Comparison, question: str) -> list[str]:
    return list(dict.fromkeys(c.arm for c in comparison.contrasts if c.question == question))


def reading(comparison: Comparison, score: ScoreComparison, arm: str) -> str:
    """Return how the contrasts of an arm read together; empty when none asks what it is worth."""
    own = [v for v in verdicts(comparison, score) if v.contrast.arm == arm]
    by_question = {v.contrast.question: v for v in own}
    if noise := by_question.get(NOISE):
        text = _NOISE_SHOWN if noise.takes_a_side else _NOISE
        return text.format(
            arm=arm, reference=noise.contrast.reference, deviation=_deviation(score, noise)
        )
    if arm in score.taught:
        return TAUGHT_READING.format(arm=arm, seen=seen_in_words(score))
    if WORTH not in by_question:
        return ""
    if not is_pretrained(score):
        return UNTRAINED_READING.format(arm=arm)
    structure = next((v for v in own if v.contrast.question in STRUCTURES), None)
    text = _worth(score, by_question[WORTH], structure)
    if comparison.runs.is_simulated:
        return f"In the simulated world {text}."
    return f"{text}." if text.startswith(arm) else f"{text[0].upper()}{text[1:]}."


def _deviation(score: ScoreComparison, noise: Verdict) -> str:
    """Return how much equal arms differ, as the recipe's `[verdict]` takes it; empty for one seed."""
    difference = score.difference(noise.contrast)
    if difference is None or not difference.value.stderr:
        return ""
    deviation = 100 * difference.value.stderr * math.sqrt(difference.value.num)
    return f" Their difference has a standard deviation of {deviation:.2g} over seeds: [verdict] noise = {deviation:.2g}."


def seen_in_words(score: ScoreComparison) -> str:
    """Return how many of a score's pictures training had seen, as the end of a phrase; empty when not told."""
    seen = score.seen_in_training
    if seen is None:
        return ""
    share = "none" if seen == 0 else "all" if seen == 1 else f"{100 * seen:.0f} %"
    return f", {share} of its pictures seen in training"


def _worth(score: ScoreComparison, worth: Verdict, structure: Verdict | None) -> str:
    text = _WORTH.get(worth.outcome, _WORTH_OPEN)
    if structure is not None:
        text += _structure(worth, structure)
    names = STRUCTURES.get(structure.contrast.question, "") if structure else ""
    delta = magnitude(score.rule.delta or 0.0, score.is_share)
    contrast = worth.contrast
    return text.format(arm=contrast.arm, reference=contrast.reference, structure=names, delta=delta)


def _structure(worth: Verdict, structure: Verdict) -> str:
    if worth.outcome == "better":
        return _AFTER_BETTER.get(structure.outcome, _AFTER_BETTER_OPEN)
    is_open = worth.outcome not in _WORTH
    return _AFTER_OTHERS.get(structure.outcome, _AFTER_OTHERS_OPEN if is_open else "")


def _measured(score: ScoreComparison, samples: str) -> str:
    counts = sorted(set(score.samples_seen.values()))
    seen = " and ".join(f"{n:,}" for n in counts)
    after = f"after {seen} {samples} seen" if counts != [0] else "without pretraining"
    over = (
        f"{measure_title(score.measure)} as the mean over {score.num_sets} data sets"
        if score.num_sets > 1
        else f"{measure_title(score.measure)} on {score.data_set}"
    )
    delta = score.rule.delta
    if delta is not None:
        after += f"; differences within {magnitude(delta, score.is_share)} (delta) do not matter"
    return f"{over[0].upper()}{over[1:]}, {after}."
