"""Conditions on the runs and scores of two arms. Each function returns the state of a condition."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations

from perceptinit.analysis.comparison import ALL, ScoreComparison
from perceptinit.analysis.contrasts import is_trained_on_data
from perceptinit.analysis.decisions import CONFIDENCE
from perceptinit.analysis.environments import MACHINE, find_unlike
from perceptinit.analysis.intervals import Components, estimate_two_way
from perceptinit.analysis.questions import NOISE
from perceptinit.analysis.statistics import Estimate, differences, estimate
from perceptinit.results.runs import LoadedRun
from perceptinit.verdict.claim import DOES_NOT_APPLY, Claim, Finding, judge
from perceptinit.verdict.plan_text import find_earlier_answers

DEFECT_P = 1e-3  # p-value below which a difference of equal arms suggests a defect
PENDING = ("running", "not started")


def find_smoke(claim: Claim) -> Finding:
    is_smoke = any(record["recipe"]["smoke"] for record in claim.runs.records)
    return judge(["these are smoke runs, shrunk to seconds"] if is_smoke else [])


def find_lost(claim: Claim) -> Finding:
    lost = [run for arm in claim.pair for run in claim.without_score(arm)]
    reasons = [count_lost(claim, arm) for arm in claim.pair]
    return judge([], reasons) if all(run.state in PENDING for run in lost) else judge(reasons)


def count_lost(claim: Claim, arm: str) -> str:
    """Return how many runs of an arm have no score, and why; empty if all have one."""
    lost = claim.without_score(arm)
    if not lost:
        return ""
    has = "has" if len(lost) == 1 else "have"
    text = f"{len(lost)} of {len(claim.runs.arm_runs(arm))} runs of {arm} {has} no score"
    if all(run.state in PENDING for run in lost):
        return f"{text} so far"
    states = dict.fromkeys("not measured" if run.state == "finished" else run.state for run in lost)
    return f"{text} ({', '.join(states)})"


def find_copies(claim: Claim) -> Finding:
    finished = [run for run in claim.runs.finished if run.arm in claim.pair]
    weights = [(run, (run.record["hashes"].get("final") or {}).get("model")) for run in finished]
    copies = [
        f"the runs of seeds {one.seed} and {other.seed} of {one.arm} have equal weights"
        for (one, own), (other, theirs) in combinations(weights, 2)
        if one.arm == other.arm and own == theirs is not None
    ]
    is_unknown = any(own is None for _, own in weights)
    unknown = "the records contain no hash of the final weights" if is_unknown else ""
    return judge([*copies[:1], *_find_equal_scores(claim)], [unknown])


def _find_equal_scores(claim: Claim) -> Iterator[str]:
    for arm in claim.pair:
        values = claim.score.arm(arm).by_seed.values()
        if len(values) > 2 and len(set(values)) == 1:
            yield f"all {len(values)} runs of {arm} have the same score"


def find_unlike_runs(claim: Claim) -> Finding:
    own = replace(claim.runs, runs=tuple(run for run in claim.runs.runs if run.arm in claim.pair))
    is_unequal = len({claim.score.samples_seen.get(arm) for arm in claim.pair}) > 1
    unlike = "; ".join(find_unlike(own))
    is_known = all(run.record["environment"].get(key) for run in own.finished for key in MACHINE)
    return judge(
        [
            "the arms are not equally trained" if is_unequal else "",
            f"the runs of a seed differ in more than their start: {unlike}" if unlike else "",
        ],
        [] if is_known else ["the records do not name the machine of each run"],
    )


def find_defect(claim: Claim) -> Finding:
    alike = [c for c in claim.comparison.contrasts if c.question == NOISE]
    if not alike:
        return DOES_NOT_APPLY
    return judge(
        f"{d.contrast.arm} and {d.contrast.reference} start alike, but differ (p = {d.p_value:.1g})"
        for d in claim.score.find_differences(alike)
        if d.p_value is not None and d.p_value < DEFECT_P
    )


def find_published(claim: Claim) -> Finding:
    if not claim.published:
        return DOES_NOT_APPLY
    sides = (side for side in claim.published if side in ("below", "above"))
    return judge(f"the baseline is {side} its published score" for side in sides)


def find_seen(claim: Claim) -> Finding:
    # seen images can only favor an arm
    ahead = {1: (claim.arm,), -1: (claim.reference,)}.get(claim.side, claim.pair)
    shares = {arm: claim.score.seen_in_stage_1[arm] for arm in ahead if is_trained_on_data(claim.runs, arm)}
    if not shares:
        return DOES_NOT_APPLY
    if by_name := claim.score.seen_in_training:  # of evaluators that compare images by name
        return judge([f"{_percent(by_name)} of the evaluated images were seen in training"])
    return judge(
        (
            f"stage 1 of {arm} has seen {_percent(share)} of the evaluated images"
            for arm, share in shares.items()
            if share
        ),
        (
            f"the records do not say whether stage 1 of {arm} has seen the evaluated images"
            for arm, share in shares.items()
            if share is None
        ),
    )


def _percent(share: float) -> str:
    return "<1 %" if share < 0.01 else f"{100 * share:.0f} %"


def find_changed(claim: Claim) -> Finding:
    answers = find_earlier_answers(claim.comparison)
    if not answers:
        return DOES_NOT_APPLY
    found = {(c.arm, c.reference): before for c, before in answers.items()}
    before = found.get((claim.arm, claim.reference), "not measured")
    beyond = " by more than delta" if claim.is_beyond_delta else ""
    is_same = before == f"{claim.outcome}{beyond}"
    return judge([] if is_same else [f"with the earlier [verdict], the answer is: {before}"])


def find_above_ceiling(claim: Claim) -> Finding:
    score = claim.score
    ceiling = score.facts["ceiling"]
    if ceiling is None:
        return DOES_NOT_APPLY
    values = {arm: score.arm(arm).value for arm in claim.pair}
    return judge(
        f"{arm} ({score.number(value.mean)} %) is above the human ceiling ({score.number(ceiling)} %)"
        for arm, value in values.items()
        if value and value.mean - ceiling > 2 * stderr_of(score, value)
    )


def stderr_of(score: ScoreComparison, value: Estimate) -> float:
    """Return the standard error of an arm's mean, over seeds or over items if that is larger."""
    num = score.facts["num_examples"]
    is_binomial = score.is_share and num and 0 <= value.mean <= 1
    over_items = math.sqrt(value.mean * (1 - value.mean) / num) if is_binomial else 0.0
    return max(value.stderr or 0.0, over_items)


def find_room(claim: Claim) -> Finding:
    """Return whether the baseline is far enough from chance and from the upper end to differ by delta."""
    score = claim.score
    value = score.arm(claim.reference).value
    delta = score.rule.delta or 0.0
    chance = score.facts["chance"]
    upper = score.facts["ceiling"] or (1.0 if score.is_share else None)
    if chance is None and upper is None:
        return DOES_NOT_APPLY
    if value is None:
        return judge([], [f"{claim.reference} has no score"])
    within = score.magnitude(delta)
    name = f"{claim.reference} ({score.number(value.mean)})"
    above = score.sign * (value.mean - chance) if chance is not None else math.inf
    return judge(
        [
            describe_unlearned(score, claim.reference),
            f"{name} is less than {within} from chance" if above < delta else "",
            f"{name} is less than {within} from the highest possible score"
            if upper is not None and score.higher_is_better and upper - value.mean < delta
            else "",
        ]
    )


def describe_unlearned(score: ScoreComparison, arm: str) -> str:
    """Return that an arm is not shown to be above chance; empty if it is, or if there is no chance level."""
    value = score.arm(arm).value
    chance = score.facts["chance"]
    if value is None or chance is None:
        return ""
    if score.sign * (value.mean - chance) > 2 * stderr_of(score, value):
        return ""
    unit = " %" if score.is_share else ""
    return f"{arm} did not learn ({score.number(value.mean)}{unit}, chance {score.number(chance)}{unit})"


def find_size(claim: Claim) -> Finding:
    if claim.is_beyond_delta:
        return judge([])
    delta = claim.score.rule.delta
    if delta is None:
        return judge([], ["whether it matters is open, because [verdict] states no delta"])
    return judge([], [f"whether by more than {claim.score.magnitude(delta)} is open"])


@dataclass(frozen=True, slots=True)
class _Other:
    """A difference of the same arms elsewhere: in another measure, in one data set, or at the end."""

    name: str
    sign: int
    values: list[float]
    floor: float
    parts: Components | None = None
    is_comparable: bool = True  # with delta

    def estimate(self, confidence: float) -> Estimate:
        """Return the mean difference with its interval over seeds and, if known, images."""
        if self.parts:
            return estimate_two_way(self.parts, confidence)
        return estimate(self.values, confidence, self.floor)


def find_opposed(claim: Claim) -> Finding:
    others = [other for other in _list_others(claim) if len(other.values) > 1]
    confidence = 1 - (1 - CONFIDENCE) / max(1, len(others))
    found = [(other, other.estimate(confidence)) for other in others]
    delta = claim.score.rule.delta or 0.0
    opposed = []
    for other, value in found:
        low, high = sorted(other.sign * end for end in (value.low or 0.0, value.high or 0.0))
        if (claim.side > 0 and high < 0) or (claim.side < 0 and low > 0):
            opposed.append(f"{other.name} points the other way")
        elif not claim.side and other.is_comparable and (low > delta or high < -delta):
            opposed.append(f"{other.name} differs by more than {claim.score.magnitude(delta)}")
    return judge([*opposed, *_find_most_sets(claim)])


def _list_others(claim: Claim) -> Iterator[_Other]:
    primary = claim.score
    for score in claim.comparison.scores:
        if score in _sets_of(claim) or is_other_measure(score, primary):
            for d in score.differences:
                if (d.contrast.arm, d.contrast.reference) == (claim.arm, claim.reference):
                    values = list(d.by_seed.values())
                    parts = score.components.get(d.contrast)
                    is_comparable = score.is_share == primary.is_share
                    yield _Other(score.name, score.sign, values, score.floor, parts, is_comparable)
    ends = [
        {run.seed: value for run, value in _list_ends(claim) if run.arm == arm}
        for arm in (claim.arm, claim.reference)
    ]
    if any(run.samples_seen != primary.samples_seen.get(run.arm) for run, _ in _list_ends(claim)):
        yield _Other("the last evaluation", primary.sign, list(differences(*ends).values()), primary.floor)


def is_other_measure(score: ScoreComparison, primary: ScoreComparison) -> bool:
    is_same_set = primary.num_sets == 1 and score.data_set == primary.data_set
    return is_same_set and score.name != primary.name and not score.is_diagnostic


def _sets_of(claim: Claim) -> list[ScoreComparison]:
    """Return the scores that a mean over data sets averages; empty for a single set."""
    primary = claim.score
    if primary.num_sets == 1:
        return []
    of_measure = [s for s in claim.comparison.scores if s.measure == primary.measure]
    return [s for s in of_measure if primary.family in (ALL, s.family)]


def _list_ends(claim: Claim) -> Iterator[tuple[LoadedRun, float]]:
    """Yield the score at the end of each run of both arms that has one."""
    names = [s.name for s in _sets_of(claim)] or [claim.score.name]
    for run in claim.runs.finished:
        rows = {row["name"]: row["value"] for row in run.scores if row["samples_seen"] == run.samples_seen}
        values = [rows[name] for name in names if rows.get(name) is not None]
        if run.arm in claim.pair and len(values) == len(names):
            yield run, sum(values) / len(values)


def _find_most_sets(claim: Claim) -> Iterator[str]:
    """Yield a reason if most data sets or the interquartile mean contradict a mean over data sets."""
    if claim.score.num_sets == 1 or not claim.side:
        return
    for row in claim.comparison.over_sets:
        names = (row.measure, row.contrast.arm, row.contrast.reference)
        if names == (claim.score.measure, claim.arm, claim.reference):
            against = row.losses if claim.side > 0 else row.wins
            if 2 * against > row.num_sets:
                yield f"{against} of {row.num_sets} data sets point the other way"
    middle = {m.arm: m.value.mean for m in claim.comparison.middle_means if m.measure == claim.score.measure}
    if middle.keys() >= {*claim.pair}:
        gain = claim.score.sign * (middle[claim.arm] - middle[claim.reference])
        if gain * claim.side < 0:
            yield "the interquartile mean over data sets points the other way"
