"""The verdict on a contrast in a score: effect, uncertainty, and the number of seeds that would decide it."""

from dataclasses import dataclass, replace

from perceptinit.analysis.comparison import Comparison, Difference, ScoreComparison
from perceptinit.analysis.contrasts import Contrast
from perceptinit.analysis.decisions import CONFIDENCE, Rule, probabilities
from perceptinit.analysis.pairing import compare_arms
from perceptinit.analysis.power import MOST_MORE_SEEDS, Noise, seeds_to_decide
from perceptinit.analysis.questions import (
    AGAINST,
    DECIDED,
    PROBABILITIES,
    SENTENCES,
    SIDES,
    TAUGHT,
    WORTH,
    Case,
    Outcome,
    Question,
    choose,
)
from perceptinit.errors import count
from perceptinit.results.measures import is_perceptual
from perceptinit.verdict.claim import Finding

# derived figures, such as ratios, require this number of seeds
MIN_SEEDS_DERIVED = 5
# standard error of the mean difference of rounded scores, in steps
ROUNDED = 6**-0.5 + 1e-9
POOLED = "for the pooled votes of these judges"  # of an interval that does not cover other people


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on one contrast (arm minus reference), based on one score.

    Attributes:
        contrast: The compared arms.
        question: The question that the contrast answers.
        outcome: The answer.
        case: Why there is an outcome without an interval; None with one.
        sentence: The answer as a sentence, with the effect and its interval.
        is_beyond_delta: Whether the whole interval is above delta, or below -delta.
        checked: Conditions of the claim that the outcome would support; empty if there is none.
    """

    contrast: Contrast
    question: Question
    outcome: Outcome
    sentence: str
    case: Case | None = None
    is_beyond_delta: bool = False
    checked: tuple[Finding, ...] = ()

    @property
    def is_decided(self) -> bool:
        return self.outcome in DECIDED

    @property
    def obstacles(self) -> list[Finding]:
        """Return the conditions that are not shown, with the most important first; empty if the claim is."""
        return [each for each in self.checked if each.obstacle]

    @property
    def reasons(self) -> list[str]:
        """Return why the claim is not shown, with the most important reason first; empty if it is shown."""
        return [each.reason for each in self.obstacles]

    @property
    def claim(self) -> str:
        """Return the claim that the outcome would support, in words; empty if there is none."""
        return self.question.claims[self.outcome] if self.checked else ""

    @property
    def is_firm(self) -> bool:
        """Return whether there is a claim, and every condition that applies is shown or assumed."""
        return bool(self.checked) and not self.reasons


def verdicts(comparison: Comparison, score: ScoreComparison) -> list[Verdict]:
    """Return the verdict on each contrast, in the order of the comparison."""
    return [verdict(score, contrast) for contrast in comparison.contrasts]


def verdict(score: ScoreComparison, contrast: Contrast) -> Verdict:
    """Return the verdict on a contrast, according to the decision rule of the score."""
    question = question_in(score, contrast)
    difference = score.difference(contrast)
    if contrast.barred:
        return Verdict(contrast, question, Outcome.UNDECIDED, contrast.barred, Case.BARRED)
    if difference is None:
        sentence = SENTENCES[Case.MISSING].format(arm=contrast.arm, reference=contrast.reference)
        return Verdict(contrast, question, Outcome.UNDECIDED, sentence, Case.MISSING)
    outcome, case = _outcome(difference, score)
    is_beyond = outcome in SIDES and is_beyond_delta(difference, score.rule)
    sentence = _sentence(outcome, case, difference, score)
    return Verdict(contrast, question, outcome, sentence, case, is_beyond)


def decide(difference: Difference, rule: Rule, sign: int = 1) -> Outcome:
    """Return the outcome of an interval. The sign-flip or permutation test must agree if it can.

    Args:
        difference: Difference with its interval.
        rule: Decision rule.
        sign: -1 if a negative difference is better.
    """
    outcome = rule.decide(difference.tested, sign)
    if outcome not in SIDES or not difference.has_exact_test:
        return outcome
    # a robustness check; the p-value is corrected for the family, not for several looks
    return outcome if (difference.p_signs or 0.0) <= 1 - CONFIDENCE else Outcome.UNDECIDED


def is_beyond_delta(difference: Difference, rule: Rule) -> bool:
    """Return whether the whole interval is beyond delta, on either side; False without delta."""
    tested = difference.tested
    if rule.delta is None or tested.low is None or tested.high is None:
        return False
    return tested.low > rule.delta or tested.high < -rule.delta


def question_in(score: ScoreComparison, contrast: Contrast) -> Question:
    """Return the question that a contrast answers if it is based on this score.

    Scores without pretraining, or on tasks that the arm was trained on, do not show whether an arm is worth
    it.
    """
    if contrast.arm in score.taught:
        return TAUGHT
    if contrast.question == WORTH and not score.is_pretrained:
        return AGAINST.format(contrast.reference)
    return contrast.question


def can_be_derived_from(score: ScoreComparison, contrast: Contrast) -> bool:
    """Return whether a difference is decided with enough seeds for derived figures, such as ratios."""
    difference = score.difference(contrast)
    if difference is None or contrast.barred or difference.value.num < MIN_SEEDS_DERIVED:
        return False
    return _outcome(difference, score)[0] in SIDES


def _outcome(difference: Difference, score: ScoreComparison) -> tuple[Outcome, Case | None]:
    if not difference.has_interval:
        is_run = difference.num_runs or score.rule.one_run_decides
        return Outcome.UNDECIDED, Case.ONE_RUN if is_run else Case.ONE_SEED
    is_varied = difference.value.num == 1 and difference.tested.stderr  # items differ
    are_equal = difference.by_seed and not any(difference.by_seed.values())
    outcome = decide(difference, score.rule, score.sign)
    # rounded scores can hide a difference
    if are_equal and not is_varied and (outcome is Outcome.EQUIVALENT or not score.rule.grid):
        return Outcome.EQUIVALENT, Case.EQUAL
    return outcome, None


def _sentence(outcome: Outcome, case: Case | None, difference: Difference, score: ScoreComparison) -> str:
    mean = difference.value.mean
    size = score.magnitude(mean)
    effect = f"{score.signed(score.sign * mean)} ({evidence(difference, score)})"
    is_open = outcome is Outcome.UNDECIDED and case is None
    return choose(SENTENCES, outcome, case).format(
        arm=difference.contrast.arm,
        reference=difference.contrast.reference,
        size=size,
        where=f"is {size} {'above' if mean > 0 else 'below'}" if mean else "scores exactly as",
        delta=score.magnitude(score.rule.delta or 0.0),
        effect=effect if score.higher_is_better else f"{effect}, where positive is better",
        side=_describe_side(difference, score),
        equal=score.rule.words.equal.format(num=count(difference.value.num, "seed")),
        single=describe_single(difference, score),
        outlook=_outlook(difference, score) if is_open else "",
    )


def _describe_side(difference: Difference, score: ScoreComparison) -> str:
    """Return the evidence of a difference on one side of 0: its share of the score, and delta."""
    parts = [evidence(difference, score)]
    if difference.relative and difference.value.num >= MIN_SEEDS_DERIVED:
        relative = f"{abs(100 * difference.relative):.1f} %"
        parts.insert(0, f"{relative} of {difference.contrast.reference}'s score")
    if score.rule.delta and not is_beyond_delta(difference, score.rule):
        parts.append(f"not shown to be by more than {score.magnitude(score.rule.delta)}")
    return "; ".join(parts)


def describe_interval(difference: Difference, score: ScoreComparison, is_short: bool = False) -> str:
    """Return the interval that decides, what it covers, and the number of seeds, which may be joined."""
    family = count_family(difference.contrast, score)
    interval = "prediction interval" if difference.is_predicted else "interval"
    title = f"simultaneous 95 % {interval} of {family}" if family else f"95 % {interval}"
    looks = " at every look" if score.rule.is_repeated else ""
    *others, last = units = find_units(difference, score)
    covered = [", ".join(others), last, "searches" if difference.over_searches else ""]
    over = " and ".join(filter(None, covered))
    if is_short and "seeds" in units:
        over = over.replace("seeds", count_runs(difference), 1)
    replicated = "" if over == "seeds" else f" over {over}"  # the number of seeds says it
    are_pooled = difference.two_way and is_perceptual(score.measure) and "people" not in units
    parts = [
        f"{title}{looks} {score.interval(score.improvement(difference.tested))}{replicated}",
        POOLED if are_pooled else "",
        count_runs(difference) if "seeds" in units and not is_short else "",
        _describe_assumed_spread(difference, score) if difference.is_predicted else "",
    ]
    return ", ".join(filter(None, parts))


def _describe_assumed_spread(difference: Difference, score: ScoreComparison) -> str:
    """Return the caveat of an interval whose spread is that of other runs."""
    contrast = difference.contrast
    repeated = contrast.reference if len(score.arm(contrast.arm).by_seed) == 1 else contrast.arm
    return f"if a single run varies as those of {score.rule.spread_from or repeated}"


def count_family(contrast: Contrast, score: ScoreComparison) -> str:
    """Return the size of the family of a contrast, such as `3 arms`; empty without a family."""
    pairs = "pairs of " if contrast.is_of_pairs else ""
    return f"{contrast.num_family} {pairs}{score.rule.words.arm}s" if contrast.num_family > 1 else ""


def find_units(difference: Difference, score: ScoreComparison) -> tuple[str, ...]:
    """Return the units over which a difference is replicated, such as seeds and images."""
    parts = score.components.get(difference.contrast)
    return parts.units if parts and difference.two_way else ("seeds",)


def evidence(difference: Difference, score: ScoreComparison) -> str:
    """Return interval and seeds of an improvement and, with delta, the probability of each answer."""
    text = describe_interval(difference, score)
    tested = score.improvement(difference.tested)
    found = score.rule.delta and probabilities(tested, score.rule.delta)
    if not found:
        return text
    better, within, worse = map(_probability, found[::-1])
    delta = score.magnitude(score.rule.delta or 0.0)
    chances = PROBABILITIES.format(delta=delta, better=better, within=within, worse=worse)
    return f"{text}; {chances}"


def _probability(value: float) -> str:
    return ">0.99" if value > 0.99 else "<0.01" if value < 0.01 else f"{value:.2f}"


def count_runs(difference: Difference) -> str:
    """Return the number of seeds or, for unpaired arms, of runs: `5 seeds`, `5 and 7 runs`, `1 run each`."""
    if difference.num_runs is None:
        return count(difference.value.num, "seed")
    own, others = difference.num_runs
    return f"{count(own, 'run')} each" if own == others else f"{own} and {others} runs"


def describe_single(difference: Difference, score: ScoreComparison) -> str:
    """Return which arms have a single run: `one run each`, or `one run of random`."""
    if score.rule.words.single:
        return score.rule.words.single
    own, others = difference.num_runs or (1, 1)
    single = difference.contrast.arm if own == 1 else difference.contrast.reference
    return "one run each" if own == others else f"one run of {single}"


def _outlook(difference: Difference, score: ScoreComparison) -> str:
    """Return a sentence on how many more seeds would decide a difference, or why none would."""
    num = difference.value.num
    rule = score.rule
    if difference.over_searches:
        return "The searches for settings vary, too, so more seeds alone may not decide it."
    if num == 1:
        return f"Only more {' or '.join(find_units(difference, score))} can decide it."
    if rule.last is not None and num >= rule.last:
        return f"This answer is final: the plan allows at most {num} seeds."
    if rule.delta is None or difference.num_runs:
        detectable = difference.detectable or 0.0
        if score.is_share and detectable > 1:
            return "With this variance, these seeds are too few to detect any difference reliably."
        note = f" {rule.words.no_delta}, so arms cannot be called equivalent." if rule.delta is None else ""
        return (
            f"With this variance over seeds, a true difference of {score.magnitude(detectable)} is "
            f"detected in 8 of 10 experiments.{note}"
        )
    # runs that vary by less than the step of rounded scores are rounded alike
    if 0 < (difference.value.stderr or 0.0) <= ROUNDED * rule.grid:
        return f"Scores are rounded to {score.magnitude(rule.grid)}, so more seeds alone may not decide it."
    parts = score.components.get(difference.contrast)
    values = tuple(tuple(d.by_seed.values()) for d in score.find_family(difference))
    more = seeds_to_decide(values, replace(rule, num_pooled=0), parts)  # at most, if the spread is pooled
    if more is not None:
        return f"{count(more, 'more seed')} would decide it with 80 % chance."
    most = (rule.last or num + MOST_MORE_SEEDS) - num
    few = f"Even {count(most, 'more seed')} would not decide it with 80 % chance"
    over_seeds = (difference.value.stderr or 0.0) ** 2 * num / (num + most)
    if parts is None or Noise(0.0, parts).beyond_seeds <= over_seeds:
        return f"{few}."
    unit = "people" if parts.people > parts.images - parts.both else "images"
    return f"{few}: use more {unit}, not more seeds."


def find_earlier_answers(comparison: Comparison) -> dict[Contrast, str]:
    """Return the answers with the `[verdict]` of the first plan or run; empty if it has not changed."""
    runs = comparison.runs
    earlier = {key: runs.earlier.get(key) or None for key in ("delta", "primary", "spread")}
    if not runs.earlier or all(earlier[key] == (getattr(runs.rule, key) or None) for key in earlier):
        return {}
    rule = replace(runs.rule, delta=earlier["delta"], primary=earlier["primary"] or "")
    score = replace(comparison, runs=replace(runs, rule=rule)).primary
    if score is None:
        return {}
    units = runs.source.units_of_delta(score.is_share)
    score = replace(score, rule=replace(score.rule, delta=rule.delta and rule.delta / units))
    if earlier["spread"] != runs.rule.spread:
        own = replace(score.rule, num_pooled=len(score.arms) if earlier["spread"] == "pooled" else 0)
        differences = compare_arms(score.arms, comparison.contrasts, own, score.floor, score.components)
        score = replace(score, differences=differences)
    return {d.contrast: describe_answer(score, d.contrast) for d in score.differences}


def describe_answer_of(comparison: Comparison, contrast: Contrast) -> str:
    """Return the answer on the arms of a contrast in the primary score of a comparison."""
    score = comparison.primary
    difference = score.find_pair(contrast.arm, contrast.reference) if score else None
    return describe_answer(score, difference.contrast) if score and difference else "not measured"


def describe_answer(score: ScoreComparison, contrast: Contrast) -> str:
    """Return the outcome of a contrast, and whether the difference is beyond delta."""
    found = verdict(score, contrast)
    return f"{found.outcome} by more than delta" if found.is_beyond_delta else found.outcome
