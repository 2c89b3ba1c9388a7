"""What stage 1 did in each run: the spread of embeddings, and agreement with held-out judgments (2AFC)."""

import math
from collections import ChainMap
from collections.abc import Iterable, Mapping
from itertools import chain, product
from statistics import fmean
from typing import Any, NamedTuple

from perceptinit.analysis.contrasts import find_differences, is_shuffled
from perceptinit.judgments.scoring import CHANCE, Shape, find_shape
from perceptinit.results.runs import LoadedRun, RunSet
from perceptinit.verdict.claim import Claim, Finding, judge

ERRORS = 2  # standard errors above which a rise or a lead in 2AFC is shown
SAME_SIZE = 0.01  # share by which the judgments or steps of a control can differ from those of the arm
SIZES = {"triplets": "judgments", "steps": "steps"}  # metrics of stage 1
TRIVIAL = "trivial_2afc/"
HELD_OUT = ("val", "test")  # splits of the judgments


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


class Rise(NamedTuple):
    """Held-out 2AFC of a run, in [0, 1]; NaN for values that are not recorded.

    Attributes:
        before: 2AFC before stage 1.
        after: 2AFC after stage 1.
        stderr: Standard error of `after`.
        gain_stderr: Standard error of the gain. In older records, it is that of independent scores.
        trivial: 2AFC of the best trivial model, shifted by the difference of `after` and the 2AFC after stage
            1 on the judgments of the trivial model.
    """

    before: float
    after: float
    stderr: float
    gain_stderr: float
    trivial: float

    @property
    def gain(self) -> float:
        return self.after - self.before


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
    rise = read_rise(run)
    is_unknown = is_shuffled(runs, run.arm) or math.isnan(rise.after)
    two_afc = None if is_unknown else rise.after
    return StageOne(
        after, before, find_shape(before, after, two_afc, rise.stderr if rise.stderr > 0 else None)
    )


def has_spread(run: LoadedRun) -> bool:
    """Return whether the record of a run contains the spread of embeddings after stage 1."""
    return any("spread_after" in stage["metrics"] for stage in run.record.get("init", ()))


def _read_metrics(run: LoadedRun) -> Mapping[str, float]:
    """Return the metrics of stage 1; with several stages, those of the first one that reports them."""
    return ChainMap(*(stage["metrics"] for stage in run.record.get("init") or ()))


def _find_held_out(run: LoadedRun) -> tuple[str, Mapping[str, float]]:
    """Return the name of held-out 2AFC and the metrics of the first stage that reports it twice."""
    for stage, split in product(run.record.get("init") or (), HELD_OUT):
        name = f"2afc_{split}"
        metrics = stage["metrics"]
        if None not in (metrics.get(f"{name}_before"), metrics.get(f"{name}_after")):
            return name, metrics
    return "", {}


def read_rise(run: LoadedRun) -> Rise:
    """Return the held-out 2AFC of a run, in the first stage that reports it before and after training."""
    name, metrics = _find_held_out(run)
    after = metrics.get(f"{name}_after", math.nan)
    stderr = metrics.get(f"{name}_stderr", math.nan)
    # trivial models are scored without training images, if possible
    compared = metrics.get("unseen_2afc_after", metrics.get("known_2afc_after", after))
    trivial = next((value for key, value in metrics.items() if key.startswith(TRIVIAL)), math.nan)
    return Rise(
        before=metrics.get(f"{name}_before", math.nan),
        after=after,
        stderr=stderr,
        gain_stderr=metrics.get(f"{name}_gain_stderr", math.sqrt(2) * stderr),
        trivial=trivial + after - compared,
    )


def _find_rises(runs: RunSet, arm: str) -> dict[int, Rise]:
    """Return the 2AFC of each finished run of an arm by seed; empty if a run lacks its rise or the error."""
    rises = {run.seed: read_rise(run) for run in runs.finished if run.arm == arm}
    is_known = not math.isnan(sum(rise.gain + rise.stderr for rise in rises.values()))
    return rises if is_known else {}


def find_unlearned(claim: Claim) -> Finding:
    """Return whether stage 1 of the arm learned its judgments and did not collapse."""
    arm = claim.arm
    rises = _find_rises(claim.runs, arm).values()
    own = [run for run in claim.runs.finished if run.arm == arm]
    if not rises or not all(map(has_spread, own)):
        return judge([], [f"the records do not say whether stage 1 of {arm} learned its judgments"])
    stage = find_stage_one(claim.runs).get(arm)
    error = ERRORS * max(rise.stderr for rise in rises)
    mean = fmean(rise.after for rise in rises)
    trivial = fmean(rise.trivial for rise in rises)
    ends = f"2AFC {mean:.3f}"
    low = mean - error
    has_collapsed = stage is not None and stage.shape == "collapsed"
    unlearned = f"{arm} is not shown to have learned its judgments ({ends}, chance 0.5)"
    unraised = f"stage 1 is not shown to raise 2AFC in the runs of {arm} ({_describe(rises)})"
    like_trivial = f"{arm} is not shown to learn more than a trivial model ({ends}, {trivial:.3f})"
    reasons = [
        f"{arm} collapsed in stage 1" if has_collapsed else "",
        unlearned if low <= CHANCE else "",
        "" if _is_raised(rises) else unraised,
        like_trivial if low <= trivial else "",
    ]
    is_known = not math.isnan(trivial)
    unknown = "" if is_known else f"the records do not contain trivial models of the judgments of {arm}"
    return judge(reasons, [unknown])


def _is_raised(rises: Iterable[Rise]) -> bool:
    """Return whether 2AFC rose in the mean by more than its error, and fell in no run."""
    gains = [rise.gain for rise in rises]
    return min(gains) >= 0 and fmean(gains) > ERRORS * fmean(rise.gain_stderr for rise in rises)


def _describe(rises: Iterable[Rise]) -> str:
    """Return mean 2AFC before and after stage 1 in words."""
    return f"2AFC {fmean(r.before for r in rises):.3f} to {fmean(r.after for r in rises):.3f}"


def find_shuffled_rise(claim: Claim) -> Finding:
    """Return whether stage 1 of the arm raised 2AFC by more than with shuffled votes, paired by seed."""
    own = _find_rises(claim.runs, claim.arm)
    theirs = _find_rises(claim.runs, claim.shuffled)
    seeds = own.keys() & theirs.keys()
    if not seeds:
        return judge([], [f"the records do not say what {claim.shuffled} learned"])
    more = fmean(own[seed].gain - theirs[seed].gain for seed in seeds)
    error = fmean(math.hypot(own[seed].gain_stderr, theirs[seed].gain_stderr) for seed in seeds)
    text = f"{claim.shuffled} is not shown to learn less ({_describe(theirs.values())})"
    return judge([] if more > ERRORS * error else [text])


def describe_shuffled_rise(runs: RunSet, shuffled: str) -> str:
    """Return a clause on what stage 1 learned with shuffled votes; empty if 2AFC is not shown to rise."""
    rises = _find_rises(runs, shuffled).values()
    if not rises or not _is_raised(rises):
        return ""
    return f"; shuffled votes teach some of it, too ({shuffled}: {_describe(rises)})"


def _read_training(runs: RunSet, arm: str) -> tuple[dict[str, float], Mapping[str, Any]]:
    """Return mean sizes of stage 1 (NaN if not recorded), and its settings without the judgments."""
    resolved = runs.resolved(arm)
    stages = chain(resolved.get("init", ()), resolved.get("posthoc", ()))
    settings: Mapping[str, Any] = next((stage for stage in stages if "judgments" in stage), {})
    own = [_read_metrics(run) for run in runs.finished if run.arm == arm]
    sizes = {key: fmean([metrics.get(key, math.nan) for metrics in own] or [math.nan]) for key in SIZES}
    return sizes, {key: value for key, value in settings.items() if key != "judgments"}


def compare_training(runs: RunSet, arm: str, control: str) -> tuple[list[str], str, str]:
    """Return clauses on how stage 1 of a control differs from that of an arm, and on what is not recorded.

    The third clause is on steps that differ because both stop early by one rule. The planned steps are equal.
    """
    own, settings = _read_training(runs, arm)
    theirs, other = _read_training(runs, control)
    sizes = {
        key: f"{control} has {theirs[key]:,.0f} {word} and {arm} {own[key]:,.0f}"
        for key, word in SIZES.items()
        if abs(own[key] - theirs[key]) > SAME_SIZE * own[key]
    }
    stopped = sizes.pop("steps", "") if settings == other and settings.get("patience") else ""
    keys = " and ".join(dict.fromkeys(find_differences(settings, other))) or "method"
    text = f"stage 1 of {control} was trained with another {keys}" if settings != other else ""
    is_known = not math.isnan(sum([*own.values(), *theirs.values()]))
    unknown = "" if is_known else f"the records do not say how long {control} was trained"
    return [*sizes.values(), text], unknown, stopped
