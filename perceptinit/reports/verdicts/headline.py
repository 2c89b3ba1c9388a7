"""The sentences that a reader may quote: how an arm's contrasts read together, by what the arms are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from perceptinit.reports import contrasts
from perceptinit.reports.at_best import tuning_note
from perceptinit.reports.comparison import Comparison, ScoreComparison
from perceptinit.reports.contrasts import ANY_OTHER, NOISE, WORTH, Question, Sentences
from perceptinit.reports.numbers import magnitude
from perceptinit.reports.planning.text import as_planned
from perceptinit.reports.statistics import holm
from perceptinit.reports.verdicts.verdict import Verdict, is_pretrained, verdicts
from perceptinit.reports.verdicts.yardsticks import yardsticks
from perceptinit.results.measures import measure_title

NOTHING = "No run has finished with a score that could be compared."
SIMULATED_PEOPLE = (
    "The people are simulated: this says how the machinery works, and nothing about human perception."
)
SIMULATED_DATA = (
    "Pictures or captions are simulated: this says how the machinery works, and nothing about photographs."
)
UNEQUAL = "The arms are not equally trained: this compares procedures as they ended, and not starts alone."
UNTRAINED_READING = "Nothing was pretrained: what {arm} is worth to pretraining cannot be said."
ALPHA = 0.05
MAX_NAMED = 6


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
    measured = _say_measured(score, comparison.runs.samples)
    notes = tuple(_notes(comparison, score, answers))
    return Summary(tuple(text for text in found if text), measured, answers, notes)


def _notes(comparison: Comparison, score: ScoreComparison, answers: Sequence[Verdict]) -> Iterator[str]:
    runs = comparison.runs
    if len(set(score.samples_seen.values())) > 1:
        yield UNEQUAL
    yield from as_planned(comparison, answers)
    yield from tuning_note(runs)
    if any(contrasts.is_by_simulated_people(runs, arm) for arm in runs.arms):
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


def find_undecided(comparison: Comparison) -> list[Verdict]:
    """Return the answers of the summary that more seeds may decide; empty when there is nothing to compare."""
    found = summary(comparison)
    return [] if found is None else [v for v in found.answers if not v.is_decided]


def headline_arms(comparison: Comparison) -> list[str]:
    """Return the arms that the summary speaks of: those with a shuffled control of their own.

    Without any, all but the baseline; controls only where there is nothing else.
    """
    asked: dict[Question, dict[str, None]] = {}
    for c in comparison.contrasts:
        asked.setdefault(c.question, {})[c.arm] = None
    everyone = list(dict.fromkeys(c.arm for c in comparison.contrasts))
    return (
        [*asked.get(contrasts.STRUCTURE, ()), *asked.get(contrasts.SIMULATED, ())]
        or [*asked.get(contrasts.NO_PEOPLE, ())]
        or [arm for arm in everyone if arm not in asked.get(contrasts.CONTROL, ())]
        or everyone
    )


def reading(comparison: Comparison, score: ScoreComparison, arm: str) -> str:
    """Return how the contrasts of an arm read together; empty when none asks what it is worth."""
    own = [v for v in verdicts(comparison, score) if v.contrast.arm == arm]
    by_question = {v.contrast.question: v for v in own}
    if noise := by_question.get(NOISE):
        text = _choose(NOISE.readings, noise)
        reference = noise.contrast.reference
        return text.format(arm=arm, reference=reference, deviation=_say_deviation(score, noise))
    if arm in score.taught:
        text = contrasts.TAUGHT.readings[ANY_OTHER]
        return text.format(arm=arm, seen=score.seen_in_words)
    if WORTH not in by_question:
        return ""
    if not is_pretrained(score):
        return UNTRAINED_READING.format(arm=arm)
    structure = next((v for v in own if v.contrast.question.structure), None)
    text = _worth(score, by_question[WORTH], structure)
    if comparison.runs.is_simulated:
        return f"In the simulated world {text}."
    return f"{text}." if text.startswith(arm) else f"{text[0].upper()}{text[1:]}."


def _choose(sentences: Sentences, verdict: Verdict) -> str:
    return sentences.get(verdict.outcome, sentences[ANY_OTHER])


def _say_deviation(score: ScoreComparison, noise: Verdict) -> str:
    """Return how much equal arms differ, as the recipe's `[verdict]` takes it; empty for one seed."""
    difference = score.difference(noise.contrast)
    if difference is None or not difference.value.stderr:
        return ""
    deviation = 100 * difference.value.stderr * math.sqrt(difference.value.num)
    return f" Their difference has a standard deviation of {deviation:.2g} over seeds: [verdict] noise = {deviation:.2g}."


def _worth(score: ScoreComparison, worth: Verdict, structure: Verdict | None) -> str:
    text = _choose(WORTH.readings, worth)
    question = structure.contrast.question if structure else WORTH
    if structure is not None and worth.outcome == "better":
        text += _choose(question.after_better, structure)
    # a question that is open says so once: only with a worth that is open, too
    elif structure is not None and (
        structure.outcome in question.after_others or worth.outcome not in WORTH.readings
    ):
        text += _choose(question.after_others, structure)
    delta = magnitude(score.rule.delta or 0.0, score.is_share)
    arm, reference = worth.contrast.arm, worth.contrast.reference
    return text.format(arm=arm, reference=reference, structure=question.structure, delta=delta)


def _say_measured(score: ScoreComparison, samples: str) -> str:
    counts = sorted(set(score.samples_seen.values()))
    seen = " and ".join(f"{n:,}" for n in counts)
    after = f"after {seen} {samples} seen" if counts != [0] else "without pretraining"
    is_mean = score.num_sets > 1
    over = f"as the mean over {score.num_sets} data sets" if is_mean else f"on {score.data_set}"
    title = measure_title(score.measure)
    delta = score.rule.delta
    if delta is not None:
        after += f"; differences within {magnitude(delta, score.is_share)} (delta) do not matter"
    return f"{title[0].upper()}{title[1:]} {over}, {after}."


def family_wise(comparison: Comparison) -> str:
    """Return how many of all the differences shown would be false by chance; empty if none has an interval."""
    found = [
        (f"{d.contrast.title} in {score.name}", d.p_value)
        for score in (*comparison.averages, *comparison.scores)
        for d in score.differences
        if not score.is_diagnostic and d.p_value is not None
    ]
    if not found:
        return ""
    top = summary(comparison)
    asked = len(top.answers) if top else 0
    is_repeated = comparison.primary is not None and comparison.primary.rule.is_repeated
    shown = f"{len(found)} differences are" if len(found) > 1 else "1 difference is"
    text = (
        f"{shown} shown, {asked} of them in the headline. Each interval misses the truth in "
        f"{'at most ' if is_repeated else ''}{100 * ALPHA:.0f} % of experiments: if no arm differed from another, about "
        f"{ALPHA * len(found):.1f} of the {len(found)} would exclude 0 by chance, and any of the {asked} with a chance "
        f"of at most {100 * min(1.0, ALPHA * asked):.0f} %."
    )
    return text if is_repeated else f"{text} {_after_correction(found)}"


def _after_correction(found: list[tuple[str, float]]) -> str:
    corrected = holm([p_value for _, p_value in found])
    left = [name for (name, _), p in zip(found, corrected, strict=True) if p < ALPHA]
    named = "; ".join([*left[:MAX_NAMED], *(["others"] if len(left) > MAX_NAMED else [])])
    remain = f"{len(left)} remain{'s' if len(left) == 1 else ''}"
    which = f"{remain}: {named}" if left else "none remains"
    return (
        f"Where the chance of any false one is to stay at {100 * ALPHA:.0f} % for all of them together "
        f"(Holm's correction), {which}."
    )
