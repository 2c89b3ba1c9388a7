"""Conditions on stage 1, on its controls and on trivial models, for claims about human judgments."""

from collections.abc import Callable
from dataclasses import replace
from statistics import fmean
from typing import NamedTuple

from perceptinit.analysis.contrasts import find_controls, is_shuffled, taught_by
from perceptinit.analysis.intervals import estimate_two_way
from perceptinit.analysis.questions import OF_CONTROL, Outcome
from perceptinit.judgments.baselines import STRONG
from perceptinit.judgments.scoring import Shape, find_shape, is_above_chance
from perceptinit.results.measures import is_perceptual
from perceptinit.results.runs import LoadedRun, RunSet
from perceptinit.verdict.claim import DOES_NOT_APPLY, Claim, Finding, State, judge

NO_ITEMS = "no items.safetensors, or too few images"


class StageOne(NamedTuple):
    """What stage 1 did to the embeddings of a run. Lower ones are more contracted.

    Attributes:
        after: Mean cosine distance of two images after stage 1, in [0, 2].
        before: Mean cosine distance before stage 1.
        shape: Whether the embeddings collapsed or contracted; empty if neither.
    """

    after: float
    before: float
    shape: Shape


def find_stage_one(runs: RunSet) -> dict[str, StageOne]:
    """Return what stage 1 did in the run of each arm with the smallest spread, if it is recorded."""
    found: dict[str, StageOne] = {}
    for run in runs.finished:
        if own := _read_stage(runs, run):
            found[run.arm] = min(own, found.get(run.arm, own))
    return found


def _read_stage(runs: RunSet, run: LoadedRun) -> StageOne | None:
    # later stages can restore the distances
    stages = run.record.get("init")
    metrics = stages[-1]["metrics"] if stages else {}
    after = metrics.get("spread_after")
    before = metrics.get("spread_before")
    if before is None or after is None:
        return None
    two_afc, stderr = _read_two_afc(run)
    return StageOne(
        after, before, find_shape(before, after, None if is_shuffled(runs, run.arm) else two_afc, stderr)
    )


def _has_spread(run: LoadedRun) -> bool:
    return any("spread_after" in stage["metrics"] for stage in run.record.get("init", ()))


def _read_two_afc(run: LoadedRun) -> tuple[float | None, float | None]:
    """Return held-out 2AFC after stage 1 and its standard error; None if they are not recorded."""
    for stage in run.record.get("init", ()):
        for name, value in stage["metrics"].items():
            if name.startswith("2afc_") and name.endswith("_after"):
                return value, stage["metrics"].get(name.replace("_after", "_stderr"))
    return None, None


def find_all_controls(claim: Claim) -> list[str]:
    """Return the control with shuffled votes and the other controls, including arms without any record."""
    arms = [arm for arm in claim.runs.arms if not claim.runs.resolved(arm) and arm not in claim.pair]
    return list(dict.fromkeys([claim.shuffled, *find_controls(claim.runs, claim.arm), *arms]))


def of_controls(find: Callable[[Claim], Finding]) -> Callable[[Claim], Finding]:
    """Return a condition that holds if `find` holds of the arm and each control."""

    def find_all(claim: Claim) -> Finding:
        found = [find(replace(claim, reference=control)) for control in find_all_controls(claim)]
        reasons = {state: [f.reason for f in found if f.state == state] for state in State}
        return judge(reasons[State.REFUTED], reasons[State.UNKNOWN])

    return find_all


def find_absent_controls(claim: Claim) -> Finding:
    planned = [arm["name"] for arm in claim.runs.plan.get("arms", ())]
    return judge(f"the planned arm {arm} has no run" for arm in planned if arm not in claim.runs.arms)


def find_collapsed_controls(claim: Claim) -> Finding:
    controls = find_all_controls(claim)
    own = [run for run in claim.runs.finished if run.arm in controls]
    stages = find_stage_one(claim.runs)
    collapsed = [arm for arm in controls if arm in stages and stages[arm].shape == "collapsed"]
    unknown = {run.arm for run in own if taught_by(claim.runs, run.arm) and not _has_spread(run)}
    return judge(
        (f"{arm} collapsed in stage 1" for arm in collapsed),
        (f"the records of {arm} do not say whether stage 1 collapsed" for arm in sorted(unknown)),
    )


def find_unlearned(claim: Claim) -> Finding:
    """Return whether stage 1 of the arm learned its judgments and did not collapse."""
    arm = claim.arm
    own = [run for run in claim.runs.finished if run.arm == arm]
    stage = find_stage_one(claim.runs).get(arm)
    measured = list(map(_read_two_afc, own))
    values = [value for value, _ in measured if value is not None]
    errors = [stderr for _, stderr in measured if stderr is not None]
    if not all(map(_has_spread, own)) or min(len(values), len(errors)) < len(own):
        return judge([], [f"the records do not say whether stage 1 of {arm} learned its judgments"])
    mean = fmean(values)
    unlearned = f"{arm} is not shown to have learned its judgments (2AFC {mean:.3f}, chance 0.5)"
    is_collapsed = stage is not None and stage.shape == "collapsed"
    return judge(
        [
            f"{arm} collapsed in stage 1" if is_collapsed else "",
            "" if is_above_chance(mean, max(errors)) else unlearned,
        ]
    )


def find_unbeaten(claim: Claim) -> Finding:
    """Return whether the arm is shown to lead every control, over seeds and images."""
    refuted = []
    unknown = []
    for control in find_all_controls(claim):
        parts = replace(claim, reference=control).parts_in(claim.score)
        if parts is None:
            unknown.append(f"nothing shows whether {control} does worse on other images ({NO_ITEMS})")
            continue
        lead = claim.score.improvement(estimate_two_way(parts, claim.score.rule.confidence))
        low, high = lead.low or 0.0, lead.high or 0.0
        delta = claim.score.rule.delta or 0.0
        if low <= 0:
            is_equal = -delta <= low and high <= delta
            undecided = Outcome.EQUIVALENT if is_equal else Outcome.UNDECIDED
            outcome = Outcome.WORSE if high < 0 else undecided
            refuted.append(OF_CONTROL[outcome].format(control=control))
    return judge(refuted, unknown)


def find_trivial(claim: Claim) -> Finding:
    """Return whether the arm is shown to be above every trivial model of the judgments."""
    if not is_perceptual(claim.score.measure):
        return DOES_NOT_APPLY
    lead = claim.score.find_lead(claim.arm)
    if lead is None:
        return judge([], ["the scores of trivial models are not recorded"])
    best, value = lead
    if (value.low or 0.0) <= 0:
        return judge([f"{best.name} is not shown to score less without training"])
    is_known = replace(claim, reference=best.name).parts_in(claim.score) is not None
    unknown = f"nothing shows whether {best.name} scores less on other judgments ({NO_ITEMS})"
    recorded = {baseline.name for baseline in claim.score.baselines}
    missing = [f"the score of {name} is not recorded" for name in STRONG if name not in recorded]
    return judge([], ["" if is_known else unknown, *missing[:1]])


def describe_more_contracted(runs: RunSet, arm: str, shuffled: str) -> str:
    """Return a clause on controls that stage 1 contracted more than the arm; empty without any."""
    stages = find_stage_one(runs)
    own = stages[arm].after if arm in stages else 0.0
    controls = [control for control in (shuffled, *find_controls(runs, arm)) if control in stages]
    more = [c for c in controls if stages[c].shape == "contracted" and stages[c].after < own]
    return f", although stage 1 contracted {' and '.join(more)} more than {arm}" if more else ""
