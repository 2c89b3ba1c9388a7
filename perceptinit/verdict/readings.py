"""Joint readings of an arm's verdicts, and doubts about a difference.

A firm sentence, such as "is worth it", is chosen in one place: `_firm`.
"""

import math
from collections.abc import Iterator, Sequence

from perceptinit.analysis.comparison import Comparison, ScoreComparison
from perceptinit.analysis.contrasts import find_controls
from perceptinit.analysis.questions import NOISE, TAUGHT, WORTH, Outcome, Question, Sentences
from perceptinit.analysis.statistics import differences, estimate
from perceptinit.results.measures import may_ask_people
from perceptinit.verdict.limits import describe_lead, find_collapsed, find_trivial
from perceptinit.verdict.verdict import SIDES, Verdict, is_pretrained
from perceptinit.verdict.yardsticks import yardsticks

DEFECT_P = 1e-3  # p-value below which a difference of equal arms suggests a defect
UNTRAINED = "Nothing was pretrained, so these runs do not show the value of {} for pretraining."
LEARNED = "It learns the judgments"
NOT_LEARNED = "It is not shown to learn more of the judgments than a trivial model knows"
UNBEATEN = {"below": "is better", "equivalent": "does as well", None: "is not shown to do worse"}


def read_arm(comparison: Comparison, score: ScoreComparison, arm: str, own: Sequence[Verdict]) -> str:
    """Return a joint reading of an arm's verdicts; empty if none answers whether the arm is worth it."""
    by_question = {v.contrast.question: v for v in own}
    if noise := by_question.get(NOISE):
        return _read_noise(score, noise)
    if arm in score.taught and is_pretrained(score):
        return TAUGHT.readings[Outcome.UNDECIDED].format(arm=arm, seen=score.seen_in_words)
    if WORTH not in by_question:
        return ""
    if not is_pretrained(score):
        return f"{UNTRAINED.format(arm)}{_compare_with_trivial(score, arm)}"
    structure = next((v for v in own if v.contrast.question.structure), None)
    text = _read_worth(comparison, score, by_question[WORTH], structure)
    if comparison.runs.is_simulated:
        return f"In the simulated world {text}."
    return f"{text}." if text.startswith(arm) else f"{text[0].upper()}{text[1:]}."


def _firm(question: Question, outcome: Outcome, is_shown: bool) -> str:
    """Return the firm sentence on an outcome; empty if there is none, or if it is not shown."""
    return question.firm.get(outcome, "") if is_shown else ""


def _choose(sentences: Sentences, outcome: Outcome) -> str:
    return sentences.get(outcome, sentences[Outcome.UNDECIDED])


def _read_noise(score: ScoreComparison, noise: Verdict) -> str:
    """Return the result of an A/A contrast, with its standard deviation for `[verdict] noise`."""
    difference = score.difference(noise.contrast)
    p_value = difference.p_value if difference else None
    is_defect = p_value is not None and p_value < DEFECT_P
    said = _firm(NOISE, noise.outcome, is_defect) or _choose(NOISE.readings, noise.outcome)
    names = {"arm": noise.contrast.arm, "reference": noise.contrast.reference}
    text = said.format(**names, p_value=f"{p_value or 0:.1g}")
    if noise.outcome in SIDES or difference is None or not difference.value.stderr:
        return text
    spread = f"{100 * difference.value.stderr * math.sqrt(difference.value.num):.2g}"
    over_seeds = f"standard deviation of {spread} over seeds"
    return f"{text} Their difference has a {over_seeds}: [verdict] noise = {spread}."


def _compare_with_trivial(score: ScoreComparison, arm: str) -> str:
    """Return a sentence that compares an arm with the best trivial model of the judgments, or nothing."""
    lead = describe_lead(score, arm)
    return f" {NOT_LEARNED if find_trivial(score, arm) else LEARNED}: {lead}." if lead else ""


def _read_worth(
    comparison: Comparison, score: ScoreComparison, worth: Verdict, structure: Verdict | None
) -> str:
    """Return whether an arm is worth it, with doubts or, without any, whether structure explains it."""
    clauses = [
        _firm(WORTH, worth.outcome, worth.is_firm) or _choose(WORTH.readings, worth.outcome),
        _limit_to_zero(score, worth),
        _limit_to_items(score, worth),
        _doubt(worth) if worth.doubts else _explain(comparison, score, worth, structure),
    ]
    return "".join(clauses).format(
        arm=worth.contrast.arm,
        reference=worth.contrast.reference,
        structure=structure.contrast.question.structure if structure else "",
        delta=score.magnitude(score.rule.delta or 0.0),
    )


def _limit_to_zero(score: ScoreComparison, worth: Verdict) -> str:
    """Return a clause on a difference that is shown, but not to be beyond delta."""
    is_limited = worth.outcome in SIDES and score.rule.delta and not worth.is_beyond_delta
    return ", not shown to be by more than {delta}" if is_limited else ""


def _limit_to_items(score: ScoreComparison, worth: Verdict) -> str:
    """Return a clause on the items of a difference whose interval does not cover other items."""
    difference = score.difference(worth.contrast)
    covers_items = difference is not None and difference.two_way is not None
    is_limited = worth.outcome in SIDES and score.num_sets == 1 and not covers_items
    return f" on these {count_items(score)}" if is_limited else ""


def count_items(score: ScoreComparison) -> str:
    """Return the number of items of a score, such as `5,000 images`."""
    unit = "judgments" if may_ask_people(score.measure) else "images"
    return f"{score.facts['num_examples']:,} {unit}"


def _doubt(worth: Verdict) -> str:
    claim = "not worth it" if worth.outcome == Outcome.WORSE else "worth it"
    return f", which does not show that it is {claim}: {'; '.join(worth.doubts)}"


def _explain(
    comparison: Comparison, score: ScoreComparison, worth: Verdict, structure: Verdict | None
) -> str:
    """Return a clause on whether structure explains a benefit, which requires a lead over all controls."""
    if structure is None:
        return ""
    question = structure.contrast.question
    if worth.outcome != Outcome.BETTER:
        # "undecided" is reported for the structure only if the worth is undecided, too
        is_said = structure.is_decided or not worth.is_decided
        return _choose(question.after_others, structure.outcome) if is_said else ""
    control = structure.contrast.reference
    if control in find_collapsed(comparison.runs):
        return f", but {control} collapsed in stage 1, so whether {{structure}} helps is open"
    if structure.outcome != Outcome.BETTER:
        return _choose(question.after_better, structure.outcome)
    if unbeaten := "; ".join(_find_unbeaten(comparison, score, worth.contrast.arm)):
        return f", but {unbeaten}: it is not shown to be {{structure}}"
    return _firm(question, structure.outcome, worth.is_firm)


def _find_unbeaten(comparison: Comparison, score: ScoreComparison, arm: str) -> Iterator[str]:
    """Yield the controls and trivial models that an arm is not shown to beat."""
    for name in find_controls(comparison.runs, arm):
        by_seed = differences(score.arm(arm).by_seed, score.arm(name).by_seed)
        leads = [score.sign * difference for difference in by_seed.values()]
        if len(leads) > 1:
            decision = score.rule.decide(estimate(leads, score.rule.confidence, score.floor))
            if decision != "above":
                yield f"{name} {UNBEATEN[decision]}"
    if trivial := find_trivial(score, arm):
        yield f"{trivial} is not shown to score less without training"


def find_doubts(comparison: Comparison, score: ScoreComparison, worth: Verdict) -> list[str]:
    """Return reasons why a difference does not show that an arm is, or is not, worth it."""
    if worth.outcome not in SIDES:
        return []
    runs = comparison.runs
    arm = worth.contrast.arm
    num = len(runs.arm_runs(arm))
    lost = sum(run.state == "failed" for run in runs.arm_runs(arm)) if worth.outcome == "better" else 0
    baseline = [found.outcome for found in yardsticks(comparison) if found.expected.arm == runs.baseline]
    doubts = [
        "the arms are not equally trained" if len(set(score.samples_seen.values())) > 1 else "",
        *(f"the baseline is {side} its published score" for side in baseline if side in ("below", "above")),
        f"{lost} of {num} runs of {arm} failed, and they count as worst" if lost else "",
        *_find_opposed(comparison, score, worth),
        f"{score.seen_in_training:.0%} of its images were seen in training" if score.seen_in_training else "",
    ]
    return [doubt for doubt in doubts if doubt]


def _find_opposed(comparison: Comparison, score: ScoreComparison, worth: Verdict) -> Iterator[str]:
    """Yield a note if most data sets or the interquartile mean contradict a mean over data sets."""
    if score.num_sets == 1:
        return
    is_better = worth.outcome == Outcome.BETTER
    for row in comparison.over_sets:
        if (row.measure, row.contrast) == (score.measure, worth.contrast):
            against = row.losses if is_better else row.wins
            if 2 * against > row.num_sets:
                yield f"{against} of {row.num_sets} data sets point the other way"
    middle = {m.arm: m.value.mean for m in comparison.middle_means if m.measure == score.measure}
    if {worth.contrast.arm, worth.contrast.reference} <= middle.keys():
        gain = score.sign * (middle[worth.contrast.arm] - middle[worth.contrast.reference])
        if gain * (1 if is_better else -1) < 0:
            yield "the interquartile mean over data sets points the other way"
