"""Conditions on the runs and scores of two arms. Each function returns the state of a condition."""

import math
from collections.abc import Iterator
from dataclasses import replace

from perceptinit.analysis.comparison import ScoreComparison
from perceptinit.analysis.contrasts import is_trained_on_data
from perceptinit.analysis.decisions import CONFIDENCE
from perceptinit.analysis.environments import MACHINE, find_unlike
from perceptinit.analysis.intervals import estimate_two_way
from perceptinit.analysis.questions import NOISE, SIDES
from perceptinit.analysis.statistics import Estimate
from perceptinit.errors import list_some
from perceptinit.results.preregistration import EDITED, is_edited
from perceptinit.results.runs import RunSet
from perceptinit.results.source import POINTS, Fact
from perceptinit.test_sets.choice import SetChoice
from perceptinit.verdict.claim import DOES_NOT_APPLY, Claim, Finding, State, judge
from perceptinit.verdict.plan_text import plan_name
from perceptinit.verdict.verdict import (
    decide,
    describe_answer,
    describe_answer_of,
    find_earlier_answers,
    is_beyond_delta,
)

DEFECT_P = 1e-3  # p-value below which a difference of equal arms suggests a defect
SMALL_DELTA = 0.05  # points; a smaller value is probably a share
LARGEST_DELTA = 0.25  # of the room between the baseline and chance or the best score
# share of evaluated images that stage 1 can have seen, if the answer without them is the same
FEW_SEEN = 1e-3


def find_smoke(claim: Claim) -> Finding:
    is_smoke = any(record["recipe"]["smoke"] for record in claim.runs.records)
    return judge(["these are smoke runs, shrunk to seconds"] if is_smoke else [])


def find_edited_plan(claim: Claim) -> Finding:
    plan = claim.runs.plan
    return judge([EDITED] if is_edited(plan) else []) if plan else DOES_NOT_APPLY


def find_unmeasured_sets(claim: Claim) -> Finding:
    """Return whether each test set that the recipe lists has a score."""
    measured = {score.data_set for score in claim.comparison.scores}
    tables = [table for table in claim.runs.resolved(claim.arm).get("eval", ()) if table.get("datasets")]
    listed = {
        SetChoice(
            datasets=tuple(table["datasets"]), root=table.get("root", ""), split=table.get("split") or "test"
        ).name(name)
        for table in tables
        for name in table["datasets"]
    }
    return judge(f"no run has a score on {name}" for name in sorted(listed - measured))


def find_lost(claim: Claim) -> Finding:
    reasons = [count_lost(claim.runs, claim.score, arm) for arm in claim.pair]
    states = {state for arm in claim.pair for state in _list_lost(claim.runs, claim.score, arm)}
    return judge([], reasons) if states <= claim.runs.source.pending else judge(reasons)


def _list_lost(runs: RunSet, score: ScoreComparison, arm: str) -> list[str]:
    """Return the states of the planned runs of an arm that have no finite score."""
    missing = score.arm(arm).missing
    return [run.state for run in runs.arm_runs(arm) if run.seed in missing]


def count_lost(runs: RunSet, score: ScoreComparison, arm: str) -> str:
    """Return how many runs of an arm have no score, and why; empty if all have one."""
    states = _list_lost(runs, score, arm)
    if not states:
        return ""
    has = "has" if len(states) == 1 else "have"
    words = {"finished": "not measured", **runs.source.words.states}
    why = dict.fromkeys(words.get(state, state) for state in states)
    when = " so far" if runs.source.pending.issuperset(states) else f" ({', '.join(why)})"
    return f"{len(states)} of {len(runs.arm_runs(arm))} runs of {arm} {has} no score{when}"


def find_unlike_runs(claim: Claim) -> Finding:
    own = replace(claim.runs, runs=tuple(run for run in claim.runs.runs if run.arm in claim.pair))
    seen = {claim.score.samples_seen.get(arm) for arm in claim.pair}
    unlike = "; ".join(find_unlike(own))
    environments = [run.record.get("environment", {}) for run in own.finished]
    is_known = all(environment.get(key) for environment in environments for key in MACHINE)
    return judge(
        [
            "the arms are not equally trained" if len(seen) > 1 else "",
            f"the runs of a seed differ in more than {own.source.words.cause}: {unlike}" if unlike else "",
        ],
        [] if is_known else ["the records do not name the machine of each run"],
    )


def find_single_runs(claim: Claim) -> Finding:
    difference = claim.score.find_pair(*claim.pair)
    is_predicted = difference is not None and difference.is_predicted
    return Finding(State.ASSUMED, Fact.REPEATED) if is_predicted else judge([])


def find_defect(claim: Claim) -> Finding:
    alike = [c for c in claim.comparison.contrasts if c.question == NOISE]
    if not alike:
        return DOES_NOT_APPLY
    return judge(
        f"{d.contrast.arm} and {d.contrast.reference} have the same initialization, but differ "
        f"(p = {d.p_value:.1g})"
        for d in claim.score.find_differences(alike)
        if d.p_value is not None and d.p_value < DEFECT_P
    )


def find_published(claim: Claim) -> Finding:
    if not claim.published:
        return DOES_NOT_APPLY
    return judge(
        f"the baseline is {side} than its published score" for side in SIDES if side in claim.published
    )


def find_seen(claim: Claim) -> Finding:
    # seen images can only favor an arm
    ahead = {1: (claim.arm,), -1: (claim.reference,)}.get(claim.side, claim.pair)
    trained = [arm for arm in ahead if is_trained_on_data(claim.runs, arm)]
    shares = [claim.score.seen_in_stage_1[arm] for arm in trained]
    if not trained:
        return DOES_NOT_APPLY
    unknown = "the records do not say whether stage 1 has seen the evaluated images"
    most = max(filter(None, shares), default=0.0)
    if most and None not in shares and _holds_without(claim, most):
        return judge([])
    percent = f"{100 * most:.0f} %" if most >= 0.01 else "up to 1 %"
    return judge(
        [f"stage 1 has seen {percent} of the evaluated images"] if most else [],
        [unknown] if None in shares else [],
    )


def _holds_without(claim: Claim, share: float) -> bool:
    """Return whether the answer is the same without a share of the items, whatever their values are."""
    difference = claim.score.find_pair(*claim.pair)
    if difference is None or share > FEW_SEEN or not claim.score.is_share:
        return False
    low, high = difference.tested.low, difference.tested.high
    wider = replace(difference.tested, low=(low or 0.0) - share, high=(high or 0.0) + share)
    widened = replace(difference, over_searches=wider)
    is_same = decide(widened, claim.score.rule, claim.score.sign) == claim.outcome
    return is_same and (is_beyond_delta(widened, claim.score.rule) or not claim.is_beyond_delta)


def find_changed(claim: Claim) -> Finding:
    answers = find_earlier_answers(claim.comparison)
    if not answers and not claim.comparison.replaced:
        return DOES_NOT_APPLY
    difference = claim.score.find_pair(*claim.pair)
    if difference is None:
        return judge([])
    contrast = difference.contrast
    before = {"earlier [verdict]": answers.get(contrast, "not measured")} if answers else {}
    for other in claim.comparison.replaced:
        before[plan_name(other.runs.plan)] = describe_answer_of(other, contrast)
    now = describe_answer(claim.score, contrast)
    return judge(f"with the {name}, the answer is: {old}" for name, old in before.items() if old != now)


def find_above_ceiling(claim: Claim) -> Finding:
    score = claim.score
    ceiling = score.facts["ceiling"]
    if ceiling is None:
        return DOES_NOT_APPLY
    values = {arm: score.arm(arm).value for arm in claim.pair}
    return judge(
        f"{arm} ({score.in_units(value.mean)}) is above the human ceiling ({score.in_units(ceiling)})"
        for arm, value in values.items()
        if value and value.mean - ceiling > 2 * stderr_of(score, value)
    )


def stderr_of(score: ScoreComparison, value: Estimate) -> float:
    """Return the standard error of an arm's mean, over seeds or over items if that is larger."""
    share = min(max(value.mean, 0.0), 1.0)
    variance = share * (1 - share) / (score.facts["num_examples"] or math.inf) if score.is_share else 0.0
    return max(value.stderr or 0.0, math.sqrt(variance))


def find_room(claim: Claim) -> Finding:
    """Return whether the baseline is far enough from chance and from the upper end to differ by delta."""
    score = claim.score
    value = score.arm(claim.reference).value
    chance = score.facts["chance"]
    upper = score.facts["ceiling"] or (1.0 if score.is_share else None)
    if value is None:
        return DOES_NOT_APPLY
    delta = score.rule.delta or 0.0
    is_odd = [_describe_large_delta(score, value.mean), describe_small_delta(score)]
    if chance is None and upper is None:
        return judge(is_odd)
    name = f"{claim.reference} ({score.number(value.mean)}) is less than {score.magnitude(delta)} from"
    is_low = chance is not None and score.sign * (value.mean - chance) < delta
    is_high = upper is not None and score.higher_is_better and upper - value.mean < delta
    found = judge(
        [
            describe_unlearned(score, claim.reference),
            f"{name} chance" if is_low else "",
            f"{name} the highest possible score" if is_high else "",
            *is_odd,
        ]
    )
    is_unknown = chance is None and Fact.ABOVE_CHANCE not in claim.runs.source.shows
    return Finding(State.ASSUMED, Fact.ABOVE_CHANCE) if is_unknown and found.state is State.SHOWN else found


def _describe_large_delta(score: ScoreComparison, mean: float) -> str:
    """Return that delta is above a quarter of what baseline and chance leave; empty if it is not."""
    delta = score.rule.delta or 0.0
    ends = [score.facts["chance"] or 0.0, *([1.0] if score.is_share and score.higher_is_better else [])]
    room = max(abs(mean - end) for end in ends)
    if delta <= LARGEST_DELTA * room:
        return ""
    return f"delta ({score.magnitude(delta)}) is more than a quarter of the possible difference"


def describe_small_delta(score: ScoreComparison) -> str:
    """Return that the delta of a share is probably a share, too; empty if it is not."""
    small = describe_small(POINTS * (score.rule.delta or 0.0)) if score.is_share else ""
    return f"the delta of {small}" if small else ""


def describe_small(delta: float) -> str:
    """Return that a delta in points is probably a share; empty if it is not."""
    if not 0 < delta < SMALL_DELTA:
        return ""
    return f"{delta:g} points may be a share: then set {POINTS * delta:g}"


def describe_unlearned(score: ScoreComparison, arm: str) -> str:
    """Return that an arm is not shown to be above chance; empty if it is, or if there is no chance level."""
    value = score.arm(arm).value
    chance = score.facts["chance"]
    if value is None or chance is None or score.sign * (value.mean - chance) > 2 * stderr_of(score, value):
        return ""
    return f"{arm} did not learn ({score.in_units(value.mean)}, chance {score.in_units(chance)})"


def find_size(claim: Claim) -> Finding:
    delta = claim.score.rule.delta
    if claim.is_beyond_delta:
        return judge([])
    if delta is None:
        missing = claim.runs.source.words.missing_delta
        return Finding(State.OPEN, f"whether it matters is open, because {missing}")
    return Finding(State.OPEN, f"whether by more than {claim.score.magnitude(delta)} is open")


def find_opposed(claim: Claim) -> Finding:
    others = list(_list_others(claim))
    num_tested = sum(claim.gain_in(score) is not None for score in others)
    confidence = 1 - (1 - CONFIDENCE) / max(1, num_tested)
    delta = claim.score.rule.delta or 0.0
    opposed = []
    unlike = []
    sets = []
    for score in others:
        gain = claim.gain_in(score, confidence)
        if gain is None:
            continue
        if score in claim.comparison.sets_of(claim.score):
            sets.append(score.sign * gain.mean * claim.side)
        parts = claim.parts_in(score)
        value = score.improvement(estimate_two_way(parts, confidence) if parts else gain)
        low, high = value.low or 0.0, value.high or 0.0
        if claim.side * (low if claim.side < 0 else high) < 0:
            opposed.append(score.name)
        elif not claim.side and score.is_share == claim.score.is_share and (low > delta or high < -delta):
            unlike.append(score.name)
    against = sum(gain < 0 for gain in sets)
    most = f"{against} of {len(sets)} data sets point the other way" if 2 * against > len(sets) else ""
    other = f"{list_some(opposed)} point{'s' * (len(opposed) == 1)} the other way" if opposed else ""
    size = claim.score.magnitude(delta)
    large = f"{list_some(unlike)} differ{'s' * (len(unlike) == 1)} by more than {size}" if unlike else ""
    return judge([most, other, large, *_find_taken_back(claim)])


def _find_taken_back(claim: Claim) -> Iterator[str]:
    """Yield the answer at the last evaluation, if it differs from a claim about an earlier evaluation."""
    later = claim.comparison.later
    for score in later.all_scores if later else ():
        difference = score.find_pair(*claim.pair)
        if score.name == claim.score.name and difference:
            outcome = decide(difference, score.rule, score.sign)
            if outcome != claim.outcome:
                yield f"at the last evaluation, the answer is: {outcome}"


def _list_others(claim: Claim) -> Iterator[ScoreComparison]:
    """Yield the sets of a mean, other measures of the set, and the score at the last evaluation."""
    primary = claim.score
    yield from claim.comparison.sets_of(primary)
    for score in claim.comparison.all_scores:
        is_same_set = (score.data_set, score.family) == (primary.data_set, primary.family)
        if is_same_set and score.name != primary.name and not score.is_diagnostic:
            yield score
    if claim.comparison.later is not None:
        names = (score for score in claim.comparison.later.all_scores if score.name == primary.name)
        yield from (replace(score, name="the last evaluation") for score in names)
