"""The headline: joint interpretation of the contrasts of an arm, given the settings of the arms."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from perceptinit.analysis import contrasts
from perceptinit.analysis.comparison import Comparison, ScoreComparison
from perceptinit.analysis.contrasts import (
    ANY_OTHER,
    BEYOND,
    DEFECT,
    NOISE,
    WORTH,
    Question,
    Sentences,
    find_controls,
)
from perceptinit.analysis.numbers import magnitude
from perceptinit.analysis.statistics import differences, estimate, holm
from perceptinit.results.measures import may_ask_people, measure_title
from perceptinit.verdict.limits import (
    describe_failures,
    describe_lead,
    find_collapsed,
    find_limits,
    find_trivial,
)
from perceptinit.verdict.plan_text import DEPARTED, as_planned
from perceptinit.verdict.verdict import SIDES, Verdict, is_pretrained, verdicts
from perceptinit.verdict.yardsticks import yardsticks

NOTHING = "No run has finished with a score that could be compared."
UNTRAINED_READING = "Nothing was pretrained, so these runs do not show the value of {arm} for pretraining."
NOT_LEARNED = "It is not shown to learn more of the judgments than a trivial model knows"
ALPHA = 0.05
DEFECT_P = 1e-3  # p-value below which a difference of equal arms suggests a defect
MAX_NAMED = 6


@dataclass(frozen=True, slots=True)
class Summary:
    """The summary of a comparison in its primary score.

    Attributes:
        readings: A sentence for each arm of the headline, in order.
        measured: A sentence on the score and the samples seen.
        answers: Verdicts on all contrasts of these arms.
        limits: Limits of the answers, with the most important first.
        notes: Further notes.
    """

    readings: tuple[str, ...]
    measured: str
    answers: tuple[Verdict, ...]
    limits: tuple[str, ...]
    notes: tuple[str, ...]


def summary(comparison: Comparison) -> Summary | None:
    """Return the summary; None if no score can be compared."""
    score = comparison.primary
    if score is None:
        return None
    arms = headline_arms(comparison)
    found = {arm: [v for v in verdicts(comparison, score) if v.contrast.arm == arm] for arm in arms}
    readings = filter(None, (reading(comparison, score, arm, own) for arm, own in found.items()))
    answers = tuple(_withhold_worth(comparison, score, v) for own in found.values() for v in own)
    measured = _describe_measurement(score, comparison.runs.samples)
    limits = find_limits(comparison, score, arms, answers)
    notes = [text for text in as_planned(comparison, answers) if not text.startswith(DEPARTED)]
    notes += describe_failures(comparison.runs)
    return Summary(tuple(readings), measured, answers, tuple(limits), tuple(notes))


def _withhold_worth(comparison: Comparison, score: ScoreComparison, verdict: Verdict) -> Verdict:
    """Return the verdict, with `is_beyond_delta` set to False if there are doubts."""
    is_shown = verdict.is_beyond_delta and not any(find_doubts(comparison, score, verdict))
    return replace(verdict, is_beyond_delta=is_shown)


def headline(comparison: Comparison) -> list[str]:
    """Return the summary as lines: published scores, measurement, contrasts, readings, limits, notes."""
    published = [yardstick.sentence for yardstick in yardsticks(comparison)]
    found = summary(comparison)
    if found is None:
        return [*published, NOTHING]
    answers = [f"{v.question} {v.sentence}" for v in found.answers]
    return [*published, found.measured, *answers, *found.readings, *found.limits, *found.notes]


def find_undecided(comparison: Comparison) -> list[Verdict]:
    """Return the undecided answers of the summary."""
    found = summary(comparison)
    return [v for v in found.answers if not v.is_decided] if found else []


def headline_arms(comparison: Comparison) -> list[str]:
    """Return the arms of the headline, which are the arms with a shuffled control.

    If no arm has one, they are all arms except the baseline and the controls, or else the controls.
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
    """Return a joint reading of an arm's contrasts; empty if none asks whether the arm is worth it."""
    by_question = {v.contrast.question: v for v in own}
    if noise := by_question.get(NOISE):
        return _read_noise(score, noise)
    if arm in score.taught and is_pretrained(score):
        text = contrasts.TAUGHT.readings[ANY_OTHER]
        return text.format(arm=arm, seen=score.seen_in_words)
    if WORTH not in by_question:
        return ""
    if not is_pretrained(score):
        return " ".join([UNTRAINED_READING.format(arm=arm), *_compare_with_trivial(score, arm)])
    structure = next((v for v in own if v.contrast.question.structure), None)
    text = _worth(comparison, score, by_question[WORTH], structure)
    if comparison.runs.is_simulated:
        return f"In the simulated world {text}."
    return f"{text}." if text.startswith(arm) else f"{text[0].upper()}{text[1:]}."


def _choose(sentences: Sentences, verdict: Verdict) -> str:
    beyond = BEYOND if verdict.is_beyond_delta else ""
    return sentences.get(f"{beyond}{verdict.outcome}", sentences.get(verdict.outcome, sentences[ANY_OTHER]))


def _read_noise(score: ScoreComparison, noise: Verdict) -> str:
    """Return the result of an A/A contrast, with its standard deviation for `[verdict] noise`."""
    difference, deviation = score.difference(noise.contrast), ""
    p_value = difference.p_value if difference else None
    if difference and difference.value.stderr:
        spread = f"{100 * difference.value.stderr * math.sqrt(difference.value.num):.2g}"
        deviation = (
            f" Their difference has a standard deviation of {spread} over seeds: [verdict] noise = {spread}."
        )
    is_defect = noise.outcome in SIDES and p_value is not None and p_value < DEFECT_P
    text = NOISE.readings[DEFECT] if is_defect else _choose(NOISE.readings, noise)
    arm, reference = noise.contrast.arm, noise.contrast.reference
    return text.format(arm=arm, reference=reference, deviation=deviation, p_value=f"{p_value or 0:.1g}")


def _worth(comparison: Comparison, score: ScoreComparison, worth: Verdict, structure: Verdict | None) -> str:
    """Return a clause on whether an arm is worth it and, unless in doubt, whether structure explains it."""
    doubts = list(find_doubts(comparison, score, worth)) if worth.outcome in SIDES else []
    plain = replace(worth, is_beyond_delta=worth.is_beyond_delta and not doubts)
    text = _choose(WORTH.readings, plain)
    if worth.outcome in SIDES and score.num_sets == 1 and not _has_images(score, worth):
        text += f" on these {score.facts['num_examples']:,} {_item_name(score)}"
    if doubts:
        text += (
            f", which does not show that it is {'not ' * (worth.outcome == 'worse')}worth it: "
            f"{'; '.join(doubts)}"
        )
    elif structure is not None:
        text += _explain(comparison, score, worth, structure)
    question = structure.contrast.question if structure else WORTH
    delta = magnitude(score.rule.delta or 0.0, score.is_share)
    unshown = (
        f", not shown to be by more than {delta}" if score.rule.delta and not worth.is_beyond_delta else ""
    )
    arm, reference = worth.contrast.arm, worth.contrast.reference
    return text.format(
        arm=arm, reference=reference, structure=question.structure, delta=delta, unshown=unshown
    )


def _explain(comparison: Comparison, score: ScoreComparison, worth: Verdict, structure: Verdict) -> str:
    """Return a clause on whether structure explains a benefit, which requires a lead over all controls."""
    question = structure.contrast.question
    if worth.outcome != "better":
        # "undecided" is reported for the structure only if the worth is undecided, too
        is_said = structure.outcome in question.after_others or worth.outcome not in WORTH.readings
        return _choose(question.after_others, structure) if is_said else ""
    control = structure.contrast.reference
    if control in find_collapsed(comparison.runs):
        return f", but {control} collapsed in stage 1, so whether {{structure}} helps is open"
    if structure.outcome != "better":
        return _choose(question.after_better, structure)
    if unbeaten := list(_find_unbeaten(comparison, score, worth.contrast.arm)):
        return f", but {'; '.join(unbeaten)}: it is not shown to be {{structure}}"
    return _choose(question.after_better, structure) if worth.is_beyond_delta else ""


def _find_unbeaten(comparison: Comparison, score: ScoreComparison, arm: str) -> Iterator[str]:
    """Yield the controls and trivial models that an arm is not shown to beat."""
    own, sign = score.arm(arm).by_seed, 1 if score.higher_is_better else -1
    for name in find_controls(comparison.runs, arm):
        by_seed = differences(own, score.arm(name).by_seed)
        if len(by_seed) < 2:
            continue
        decision = score.rule.decide(
            estimate([sign * d for d in by_seed.values()], score.rule.confidence, score.floor)
        )
        if decision != "above":
            text = {"below": "is better", "equivalent": "does as well"}
            yield f"{name} {text.get(decision or '', 'is not shown to do worse')}"
    yield from (f"{name} is not shown to score less without training" for name in find_trivial(score, arm))


def _has_images(score: ScoreComparison, verdict: Verdict) -> bool:
    difference = score.difference(verdict.contrast)
    return difference is not None and difference.two_way is not None


def _item_name(score: ScoreComparison) -> str:
    return "judgments" if may_ask_people(score.measure) else "images"


def find_doubts(comparison: Comparison, score: ScoreComparison, worth: Verdict) -> Iterator[str]:
    """Yield reasons why a difference does not show that an arm is, or is not, worth it."""
    runs, arm = comparison.runs, worth.contrast.arm
    if len(set(score.samples_seen.values())) > 1:
        yield "the arms are not equally trained"
    for yardstick in yardsticks(comparison):
        if yardstick.expected.arm == runs.baseline and yardstick.outcome in ("below", "above"):
            yield f"the baseline is {yardstick.outcome} its published score"
    lost = [run for run in runs.arm_runs(arm) if run.state == "failed"]
    if lost and worth.outcome == "better":
        yield f"{len(lost)} of {len(runs.arm_runs(arm))} runs of {arm} failed, and they count as worst"
    if score.num_sets > 1:
        yield from _find_opposed(comparison, score, worth)
    if seen := score.seen_in_training:
        yield f"{seen:.0%} of its images were seen in training"


def _find_opposed(comparison: Comparison, score: ScoreComparison, worth: Verdict) -> Iterator[str]:
    """Yield a note if most data sets or the interquartile mean contradict the mean over data sets."""
    is_better = worth.outcome == "better"
    for row in comparison.over_sets:
        if row.measure == score.measure and row.contrast == worth.contrast:
            against = row.count.losses if is_better else row.count.wins
            if 2 * against > row.count.num_sets:
                yield f"{against} of {row.count.num_sets} data sets point the other way"
    middle = {m.arm: m.value.mean for m in comparison.middle_means if m.measure == score.measure}
    arm, reference = worth.contrast.arm, worth.contrast.reference
    if arm in middle and reference in middle:
        gain = (middle[arm] - middle[reference]) * (1 if score.higher_is_better else -1)
        if gain * (1 if is_better else -1) < 0:
            yield "the interquartile mean over data sets points the other way"


def _compare_with_trivial(score: ScoreComparison, arm: str) -> Iterator[str]:
    """Yield a sentence that compares an arm with the best trivial model of the judgments."""
    if lead := describe_lead(score, arm):
        is_above = not find_trivial(score, arm)
        yield f"{'It learns the judgments' if is_above else NOT_LEARNED}: {lead}."


def _describe_measurement(score: ScoreComparison, samples: str) -> str:
    seen = " and ".join(f"{n:,}" for n in sorted(set(score.samples_seen.values())))
    text = f"after {seen} {samples} seen" if is_pretrained(score) else "without pretraining"
    items = f"{score.facts['num_examples']:,} {_item_name(score)}"
    is_mean = score.num_sets > 1
    over = f"as the mean over {score.num_sets} data sets" if is_mean else f"on {score.data_set} ({items})"
    title = measure_title(score.measure)
    if score.rule.delta is not None:
        text += f"; differences within {magnitude(score.rule.delta, score.is_share)} (delta) do not matter"
    return f"{title[0].upper()}{title[1:]} {over}, {text}."


def family_wise(comparison: Comparison) -> str:
    """Return a note on how many differences would exclude 0 by chance; empty without intervals."""
    found = [
        (f"{d.contrast.title} in {score.name}", d.p_value, ALPHA / d.contrast.num_family)
        for score in (*comparison.averages, *comparison.scores)
        for d in score.differences
        if not score.is_diagnostic and d.p_value is not None
    ]
    if not found:
        return ""
    num, top = len(found), summary(comparison)
    asked = [ALPHA / answer.contrast.num_family for answer in top.answers] if top else []
    alphas, num_asked = [alpha for *_, alpha in found], len(asked)
    is_repeated = comparison.primary is not None and comparison.primary.rule.is_repeated
    at_most, most = "at most " if is_repeated or min(alphas) < ALPHA else "", min(1.0, sum(asked))
    text = (
        f"{num} {'differences are' if num > 1 else 'difference is'} shown, {num_asked} of them in the "
        f"headline. Each interval misses the truth in {at_most}{100 * ALPHA:.0f} % of "
        f"experiments. If all arms were equal, about {sum(alphas):.1f} of the {num} would exclude 0 by "
        f"chance, and any of the {num_asked} with a probability of at most {100 * most:.0f} %."
    )
    if is_repeated:
        return text
    corrected = zip(found, holm([p_value for _, p_value, _ in found]), strict=True)
    left = [name for (name, *_), p in corrected if p < ALPHA]
    named = "; ".join(left[:MAX_NAMED]) + ("; others" if len(left) > MAX_NAMED else "")
    remain = f"{len(left)} remain{'s' if len(left) == 1 else ''}: {named}" if left else "none remains"
    return f"{text} With a family-wise error rate of {100 * ALPHA:.0f} % (Holm's correction), {remain}."
