"""Conditions on stage 1, on its controls and on trivial models, for claims about human judgments."""

from dataclasses import dataclass

from perceptinit.analysis.comparison import ScoreComparison
from perceptinit.analysis.contrasts import find_controls, is_shuffled
from perceptinit.analysis.intervals import Components, estimate_two_way
from perceptinit.judgments.two_afc import Shape, find_shape, is_above_chance
from perceptinit.results.measures import is_perceptual
from perceptinit.results.runs import LoadedRun, RunSet
from perceptinit.verdict.claim import DOES_NOT_APPLY, Claim, Finding, judge
from perceptinit.verdict.evidence import count_lost

MIN_COMMON_SEEDS = 2


@dataclass(frozen=True, slots=True)
class StageOne:
    """What stage 1 did to the embeddings of an arm, in the run with the smallest spread.

    Attributes:
        before: Mean cosine distance of two images before stage 1, in [0, 2].
        after: Mean cosine distance after stage 1.
        shape: Whether the embeddings collapsed or contracted; empty if neither.
    """

    before: float
    after: float
    shape: Shape


def find_stage_one(runs: RunSet) -> dict[str, StageOne]:
    """Return what stage 1 did to the embeddings of each arm whose records contain the spread."""
    found: dict[str, StageOne] = {}
    for run in runs.finished:
        own = _read_stage(run, is_shuffled(runs, run.arm))
        if own and (run.arm not in found or own.after < found[run.arm].after):
            found[run.arm] = own
    return found


def _read_stage(run: LoadedRun, is_shuffled: bool) -> StageOne | None:
    # later stages can restore the distances
    metrics = run.record["init"][-1]["metrics"] if run.record["init"] else {}
    before = metrics.get("spread_before")
    after = metrics.get("spread_after")
    if before is None or after is None:
        return None
    two_afc, stderr = read_two_afc(run)
    return StageOne(before, after, find_shape(before, after, None if is_shuffled else two_afc, stderr))


def read_two_afc(run: LoadedRun, when: str = "after") -> tuple[float | None, float | None]:
    """Return held-out 2AFC of stage 1 and its standard error; None if they are not recorded."""
    for stage in reversed(run.record["init"]):
        metrics = stage["metrics"]
        for name, value in metrics.items():
            if name.startswith("2afc_") and name.endswith(f"_{when}"):
                return value, metrics.get(f"{name.removesuffix(f'_{when}')}_stderr")
    return None, None


def find_all_controls(claim: Claim) -> list[str]:
    """Return the control with shuffled votes and the other controls, including arms without any record."""
    arms = [arm for arm in claim.runs.arms if not claim.runs.resolved(arm) and arm not in claim.pair]
    return list(dict.fromkeys([claim.shuffled, *find_controls(claim.runs, claim.arm), *arms]))


def find_lost_controls(claim: Claim) -> Finding:
    own = claim.score.arm(claim.arm).by_seed
    controls = find_all_controls(claim)
    few = [
        f"{control} and {claim.arm} have fewer than {MIN_COMMON_SEEDS} seeds in common"
        for control in controls
        if len(own.keys() & claim.score.arm(control).by_seed.keys()) < MIN_COMMON_SEEDS
    ]
    return judge([*(count_lost(claim, control) for control in controls), *few])


def find_collapsed_controls(claim: Claim) -> Finding:
    stages = find_stage_one(claim.runs)
    controls = (control for control in find_all_controls(claim) if control in stages)
    return judge(
        f"{control} collapsed in stage 1" for control in controls if stages[control].shape == "collapsed"
    )


def find_unlearned(claim: Claim) -> Finding:
    """Return whether stage 1 of the arm learned its judgments and did not collapse."""
    arm = claim.arm
    stage = find_stage_one(claim.runs).get(arm)
    measured = [read_two_afc(run) for run in claim.runs.finished if run.arm == arm]
    values = [value for value, _ in measured if value is not None]
    if stage is None or len(values) < len(measured) or not measured:
        return judge([], [f"the records do not say whether stage 1 of {arm} learned its judgments"])
    mean = sum(values) / len(values)
    stderr = max(error or 0.0 for _, error in measured)
    return judge(
        [
            f"{arm} collapsed in stage 1" if stage.shape == "collapsed" else "",
            ""
            if is_above_chance(mean, stderr)
            else f"{arm} is not shown to have learned its judgments (2AFC {mean:.3f}, chance 0.5)",
        ]
    )


def find_unbeaten(claim: Claim) -> Finding:
    """Return whether the arm is shown to lead every control, over seeds and images."""
    refuted = []
    unknown = []
    for control in find_all_controls(claim):
        parts = _find_parts(claim.score, claim.arm, control)
        if parts is None:
            unknown.append(
                f"nothing shows whether {control} does worse on other images (no items.safetensors)"
            )
            continue
        value = estimate_two_way(parts, claim.score.rule.confidence)
        ends = sorted(claim.score.sign * (end or 0.0) for end in (value.low, value.high))
        if ends[0] <= 0:
            refuted.append(f"{control} {_describe_unbeaten(ends, claim.score.rule.delta)}")
    return judge(refuted, unknown)


def _find_parts(score: ScoreComparison, arm: str, reference: str) -> Components | None:
    found = (parts for c, parts in score.components.items() if (c.arm, c.reference) == (arm, reference))
    return next(found, None)


def _describe_unbeaten(lead: list[float], delta: float | None) -> str:
    """Return how a control compares with an arm, given the interval of the arm's lead."""
    if lead[1] < 0:
        return "is better"
    return "does as well" if delta and -delta <= lead[0] and lead[1] <= delta else "is not shown to do worse"


def find_trivial(claim: Claim) -> Finding:
    """Return whether the arm is shown to be above every trivial model of the judgments."""
    score = claim.score
    if not is_perceptual(score.measure):
        return DOES_NOT_APPLY
    lead = score.find_lead(claim.arm)
    if lead is None:
        return judge([], ["the scores of trivial models are not recorded"])
    best, value = lead
    if _find_parts(score, claim.arm, best.name) is None:
        return judge(
            [], [f"nothing shows whether {best.name} scores less on other judgments (no items.safetensors)"]
        )
    return judge(
        [] if (value.low or 0.0) > 0 else [f"{best.name} is not shown to score less without training"]
    )


def describe_more_contracted(runs: RunSet, arm: str, shuffled: str) -> str:
    """Return a clause on controls that stage 1 contracted more than the arm; empty without any."""
    stages = find_stage_one(runs)
    own = stages[arm].after if arm in stages else 0.0
    controls = [control for control in (shuffled, *find_controls(runs, arm)) if control in stages]
    more = [c for c in controls if stages[c].shape == "contracted" and stages[c].after < own]
    return f", although stage 1 contracted {' and '.join(more)} more than {arm}" if more else ""
