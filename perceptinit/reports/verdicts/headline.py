"""The headline: how an arm's contrasts read together, by what the arms are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from perceptinit.reports import contrasts
from perceptinit.reports.comparison import Comparison, ScoreComparison
from perceptinit.reports.contrasts import ANY_OTHER, NOISE, WORTH, Question, Sentences
from perceptinit.reports.numbers import magnitude
from perceptinit.reports.planning.text import DEPARTED, as_planned
from perceptinit.reports.statistics import holm
from perceptinit.reports.verdicts.limits import find_limits
from perceptinit.reports.verdicts.verdict import Verdict, is_pretrained, verdicts
from perceptinit.reports.verdicts.yardsticks import yardsticks
from perceptinit.results.measures import measure_title

NOTHING = "No run has finished with a score that could be compared."
UNTRAINED_READING = "Nothing was pretrained, so these runs do not show the value of {arm} for pretraining."
ALPHA = 0.05
MAX_NAMED = 6


@dataclass(frozen=True, slots=True)
class Summary:
    """The answers in the primary score.

    readings: one sentence per arm of the headline, in the arms' order. measured: the score and the samples
    seen.
    answers: every contrast of these arms. limits: of the answers, the most important first. notes: others.
    """

    readings: tuple[str, ...]
    measured: str
    answers: tuple[Verdict, ...]
    limits: tuple[str, ...]
    notes: tuple[str, ...]


def summary(comparison: Comparison) -> Summary | None:
    """Return the summary, None when no score can be compared."""
    score = comparison.primary
    if score is None:
        return None
    arms = headline_arms(comparison)
    found = {arm: [v for v in verdicts(comparison, score) if v.contrast.arm == arm] for arm in arms}
    readings = filter(None, (reading(comparison, score, arm, own) for arm, own in found.items()))
    answers = tuple(v for own in found.values() for v in own)
    measured = _describe_measurement(score, comparison.runs.samples)
    limits = find_limits(comparison, score, arms, answers)
    notes = (text for text in as_planned(comparison, answers) if not text.startswith(DEPARTED))
    return Summary(tuple(readings), measured, answers, tuple(limits), tuple(notes))


def headline(comparison: Comparison) -> list[str]:
    """Return the summary as lines: published scores, measurement, contrasts, readings, limits, notes."""
    published = [yardstick.sentence for yardstick in yardsticks(comparison)]
    found = summary(comparison)
    if found is None:
        return [*published, NOTHING]
    answers = [f"{v.question} {v.sentence}" for v in found.answers]
    return [*published, found.measured, *answers, *found.readings, *found.limits, *found.notes]


def find_undecided(comparison: Comparison) -> list[Verdict]:
    """Return the answers of the summary that more seeds may decide."""
    found = summary(comparison)
    return [v for v in found.answers if not v.is_decided] if found else []


def headline_arms(comparison: Comparison) -> list[str]:
    """Return the arms of the headline: those with a shuffled control.

    Without any, these are all arms but the baseline and controls, and the controls only when no other arm is
    left.
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


def reading(comparison: Comparison, score: ScoreComparison, arm: str, own: Sequence[Verdict]) -> str:
    """Return how the contrasts of an arm read together; empty when none asks whether it is worth it."""
    by_question = {v.contrast.question: v for v in own}
    if noise := by_question.get(NOISE):
        text = _choose(NOISE.readings, noise)
        return text.format(arm=arm, reference=noise.contrast.reference, deviation=_noise_note(score, noise))
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


def _noise_note(score: ScoreComparison, noise: Verdict) -> str:
    """Return the standard deviation of equal arms' difference, in the unit of `[verdict] noise`."""
    difference = score.difference(noise.contrast)
    if difference is None or not difference.value.stderr:
        return ""
    deviation = f"{100 * difference.value.stderr * math.sqrt(difference.value.num):.2g}"
    spread = f"a standard deviation of {deviation} over seeds"
    return f" Their difference has {spread}: [verdict] noise = {deviation}."


def _worth(score: ScoreComparison, worth: Verdict, structure: Verdict | None) -> str:
    text = _choose(WORTH.readings, worth)
    question = structure.contrast.question if structure else WORTH
    if structure is not None and worth.outcome == "better":
        text += _choose(question.after_better, structure)
    # an open structure is reported only beside an open worth
    elif structure is not None and (
        structure.outcome in question.after_others or worth.outcome not in WORTH.readings
    ):
        text += _choose(question.after_others, structure)
    delta = magnitude(score.rule.delta or 0.0, score.is_share)
    arm, reference = worth.contrast.arm, worth.contrast.reference
    return text.format(arm=arm, reference=reference, structure=question.structure, delta=delta)


def _describe_measurement(score: ScoreComparison, samples: str) -> str:
    seen = " and ".join(f"{n:,}" for n in sorted(set(score.samples_seen.values())))
    text = f"after {seen} {samples} seen" if is_pretrained(score) else "without pretraining"
    over = f"as the mean over {score.num_sets} data sets" if score.num_sets > 1 else f"on {score.data_set}"
    title = measure_title(score.measure)
    if score.rule.delta is not None:
        text += f"; differences within {magnitude(score.rule.delta, score.is_share)} (delta) do not matter"
    return f"{title[0].upper()}{title[1:]} {over}, {text}."


def family_wise(comparison: Comparison) -> str:
    """Return how many of the differences would exclude 0 by chance; empty if none has an interval."""
    found = [
        (f"{d.contrast.title} in {score.name}", d.p_value)
        for score in (*comparison.averages, *comparison.scores)
        for d in score.differences
        if not score.is_diagnostic and d.p_value is not None
    ]
    if not found:
        return ""
    num, top = len(found), summary(comparison)
    asked = len(top.answers) if top else 0
    is_repeated = comparison.primary is not None and comparison.primary.rule.is_repeated
    text = (
        f"{num} {'differences are' if num > 1 else 'difference is'} shown, {asked} of them in the headline. "
        f"Each interval misses the truth in {'at most ' if is_repeated else ''}{100 * ALPHA:.0f} % of "
        f"experiments. If all arms were equal, about {ALPHA * num:.1f} of the {num} would exclude 0 by "
        f"chance, and any of the {asked} with a probability of at most {100 * min(1.0, ALPHA * asked):.0f} %."
    )
    if is_repeated:
        return text
    corrected = zip(found, holm([p_value for _, p_value in found]), strict=True)
    left = [name for (name, _), p in corrected if p < ALPHA]
    named = "; ".join(left[:MAX_NAMED]) + ("; others" if len(left) > MAX_NAMED else "")
    remain = f"{len(left)} remain{'s' if len(left) == 1 else ''}: {named}" if left else "none remains"
    return f"{text} With a family-wise error rate of {100 * ALPHA:.0f} % (Holm's correction), {remain}."
