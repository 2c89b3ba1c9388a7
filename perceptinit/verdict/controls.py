"""Conditions on controls and on trivial models, for claims about human judgments."""

from collections.abc import Callable
from dataclasses import replace
from itertools import chain

from perceptinit.analysis.contrasts import find_controls, taught_by
from perceptinit.analysis.intervals import estimate_two_way
from perceptinit.analysis.questions import OF_CONTROL
from perceptinit.judgments.baselines import STRONG
from perceptinit.results.measures import is_perceptual
from perceptinit.results.runs import RunSet
from perceptinit.verdict.claim import DOES_NOT_APPLY, Claim, Finding, State, judge
from perceptinit.verdict.stage_one import compare_training, find_stage_one, has_spread

NO_ITEMS = "no items.safetensors, or too few images"


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
    unknown = {run.arm for run in own if taught_by(claim.runs, run.arm) and not has_spread(run)}
    return judge(
        (f"{arm} collapsed in stage 1" for arm in collapsed),
        (f"the records of {arm} do not say whether stage 1 collapsed" for arm in sorted(unknown)),
    )


def find_unlike_controls(claim: Claim) -> Finding:
    """Return whether stage 1 of each control has the judgments, steps and settings of the arm."""
    controls = [control for control in find_all_controls(claim) if taught_by(claim.runs, control)]
    found = [compare_training(claim.runs, claim.arm, control) for control in controls]
    return judge(chain(*(differs for differs, *_ in found)), (unknown for _, unknown, _ in found))


def find_unbeaten(claim: Claim) -> Finding:
    """Return whether the arm is shown to lead every control, over seeds and images."""
    refuted = []
    unknown = []
    for control in find_all_controls(claim):
        own = replace(claim, reference=control)
        if own.parts_in(claim.score) is None:
            unknown.append(f"nothing shows whether {control} does worse on other images ({NO_ITEMS})")
        else:
            refuted.append(_describe_unbeaten(own))
    return judge(refuted, unknown)


def read_controls(claim: Claim) -> str:
    """Return the controls, except shuffled votes, that are not shown to do worse; empty without any."""
    controls = find_controls(claim.runs, claim.arm)
    return "; ".join(filter(None, (_describe_unbeaten(replace(claim, reference=each)) for each in controls)))


def _describe_unbeaten(claim: Claim) -> str:
    """Return how a control, the reference, does if the arm is not shown to lead it; empty if it is."""
    rule = claim.score.rule
    parts = claim.parts_in(claim.score)
    value = estimate_two_way(parts, rule.confidence) if parts else claim.gain_in(claim.score, rule.confidence)
    lead = claim.score.improvement(value) if value else None
    if lead is None or lead.low is None:
        return ""
    return (
        "" if lead.low > 0 else OF_CONTROL[rule.decide(lead)].format(control=claim.reference, arm=claim.arm)
    )


def find_trivial(claim: Claim) -> Finding:
    """Return whether the arm is shown to be above every trivial model of the judgments."""
    if not is_perceptual(claim.score.measure):
        return DOES_NOT_APPLY
    lead = claim.score.find_lead(claim.arm)
    if lead is None:
        return judge([], ["the scores of trivial models are not recorded"])
    best, value = lead
    if (value.mean if value.low is None else value.low) <= 0:
        return judge([f"{best.name} is not shown to score less without training"])
    is_known = replace(claim, reference=best.name).parts_in(claim.score) is not None
    unknown = f"nothing shows whether {best.name} scores less on other judgments ({NO_ITEMS})"
    recorded = {baseline.name for baseline in claim.score.baselines}
    missing = [f"the score of {name} is not recorded" for name in STRONG if name not in recorded]
    return judge([], ["" if is_known else unknown, *missing[:1]])


def qualify_controls(runs: RunSet, arm: str, shuffled: str) -> str:
    """Return clauses on controls that stage 1 contracted more than the arm, or that stopped elsewhere."""
    stages = find_stage_one(runs)
    own = stages[arm].after if arm in stages else 0.0
    controls = [control for control in (shuffled, *find_controls(runs, arm)) if control in stages]
    more = [c for c in controls if stages[c].shape == "contracted" and stages[c].after < own]
    stopped = " and ".join(filter(None, (compare_training(runs, arm, c)[-1] for c in controls)))
    contracted = f", although stage 1 contracted {' and '.join(more)} more than {arm}" if more else ""
    return f"{contracted}{f'; early stopping ended stage 1 at unequal steps ({stopped})' if stopped else ''}"
