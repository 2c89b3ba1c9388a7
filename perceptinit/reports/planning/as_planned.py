"""Whether a comparison is as it was planned: one sentence when it is, else one for each departure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from perceptinit.reports.comparison import Comparison
from perceptinit.reports.contrasts import find_differences
from perceptinit.reports.verdicts.verdict import Verdict
from perceptinit.results.preregistration import plan_sha256, planned_settings
from perceptinit.results.runs import LoadedRun, RunSet

SHORT = 12  # digits of a hash that are shown
Cells = Iterable[tuple[str, int]]  # arm, seed


def plan_name(plan: Mapping[str, Any]) -> str:
    """Return what sentences call a plan: its date and the first digits of its hash."""
    return f"plan of {plan['written'][:10]}, {plan_sha256(plan)[:SHORT]}"


def as_planned(comparison: Comparison, answers: Sequence[Verdict]) -> Iterator[str]:
    """Yield that all is as planned, or each departure; nothing without a plan that was changed.

    answers: those of the headline, which a stopping rule may still leave open.
    """
    runs, plan = comparison.runs, comparison.runs.preregistered
    if not plan:
        yield from (f"Not as planned: {text}" for text in runs.departures)
        return
    found = [*runs.departures, *_departures(comparison, plan)]
    yield from (f"Not as planned ({plan_name(plan)}): {text}" for text in found)
    if not found:
        is_open = any(not v.is_decided for v in answers)
        so_far = _so_far(runs, plan["verdict"]["max_seeds"], is_open)
        yield f"As planned{so_far} ({plan_name(plan)})."


def _so_far(runs: RunSet, max_seeds: int | None, is_open: bool) -> str:
    if runs.unfinished:
        return f" so far, with {len(runs.finished)} of {len(runs.runs)} runs finished"
    seeds = {run.seed for run in runs.runs}
    if max_seeds and is_open and len(seeds) < max_seeds:
        return f" so far, with {len(seeds)} of at most {max_seeds} seeds and not yet decided"
    return ""


def _departures(comparison: Comparison, plan: Mapping[str, Any]) -> Iterator[str]:
    runs = comparison.runs
    if plan["sha256"] != plan_sha256(plan):
        yield f"the plan was edited after it was written, when its hash was {plan['sha256'][:SHORT]}."
    yield from _of_another_plan(runs, plan)
    yield from _of_runs(runs, plan)
    yield from _of_settings(runs, plan)
    yield from _of_contrasts(comparison, plan)
    yield from _of_score(comparison)


def _of_another_plan(runs: RunSet, plan: Mapping[str, Any]) -> Iterator[str]:
    """Yield which runs there were before the plan, and which began under another one, or without any."""
    there = {(row["arm"], row["seed"]) for row in plan["records"]}
    began = {(run.arm, run.seed): run.record for run in runs.runs if run.record}
    # a run that knows the plan's hash began after it, whatever the clocks of two machines say
    known = {cell: str(record.get("plan", "")) for cell, record in began.items()}
    changed = [cell for cell in began if known[cell] not in ("", plan_sha256(plan))]
    without = [cell for cell in began if not known[cell] and cell not in there]
    before = [cell for cell in without if began[cell]["started"] < plan["written"]]
    early = [*(there & began.keys() - set(changed)), *before]
    if early:
        yield f"{len(early)} of {len(began)} runs were there before it: {_named(early)}."
    if changed:
        old = " and ".join(sorted({known[cell][:SHORT] for cell in changed}))
        yield f"it was changed after runs had begun, when its hash was {old}: {_named(changed)}."
    if others := set(without) - set(before):
        yield f"these runs began where it was not: {_named(others)}."


def _of_runs(runs: RunSet, plan: Mapping[str, Any]) -> Iterator[str]:
    """Yield which runs were added and which are planned and not among those compared."""
    if len(roots := {str(run.folder.resolve().parent.parent) for run in runs.runs}) > 1:
        yield f"runs of several folders are compared: {', '.join(sorted(roots))}."
    arms = [arm["name"] for arm in plan["arms"]]
    planned = {(arm, seed) for arm in arms for seed in plan["seeds"]}
    there = {_cell(run) for run in runs.runs}
    if added := [(arm, s) for arm, s in there if arm not in arms or not _may_have(plan, s)]:
        yield f"added: {_named(added)}."
    if dropped := planned - there:
        yield f"planned, and not among these runs: {_named(dropped)}."
    if runs.baseline != plan["baseline"]:
        yield f"the baseline was {plan['baseline']}, and is {runs.baseline} here."


def _may_have(plan: Mapping[str, Any], seed: int) -> bool:
    """Say whether a seed is planned, or among those that the stopping rule may add."""
    seeds, most = plan["seeds"], plan["verdict"]["max_seeds"] or 0
    first = max(seeds, default=-1) + 1
    return seed in seeds or first <= seed < first + most - len(seeds)


def _of_settings(runs: RunSet, plan: Mapping[str, Any]) -> Iterator[str]:
    """Yield which settings of which arms are others than planned."""
    planned = {arm["name"]: arm for arm in plan["arms"]}
    changed: dict[tuple[str, ...], dict[str, None]] = {}
    for run in runs.runs:
        arm = planned.get(run.arm)
        if run.record and arm and run.record["fingerprint"] != arm["fingerprint"]:
            resolved = run.record["arm"]["resolved"]
            keys = tuple(dict.fromkeys(find_differences(planned_settings(plan, arm), resolved)))
            changed.setdefault(keys, {})[run.arm] = None
    for keys, arms in changed.items():
        yield f"other settings of {', '.join(arms)}: {', '.join(keys) or 'those of another version'}."


def _of_contrasts(comparison: Comparison, plan: Mapping[str, Any]) -> Iterator[str]:
    """Yield which contrasts of planned arms are others, or ask another question."""
    arms = {arm["name"] for arm in plan["arms"]} & set(comparison.runs.arms)
    planned = {(c["arm"], c["reference"]): c["question"] for c in plan["contrasts"]}
    found = {(c.arm, c.reference): str(c.question) for c in comparison.contrasts}
    for pair in dict.fromkeys((*planned, *found)):
        old, new = planned.get(pair), found.get(pair)
        if arms.issuperset(pair) and old != new:
            title = " - ".join(pair)
            yield (
                f"{title} is compared." if old is None
                else f"{title} is not compared." if new is None
                else f'{title} was to ask "{old}", and asks "{new}".'
            )  # fmt: skip


def _of_score(comparison: Comparison) -> Iterator[str]:
    """Yield that another score speaks than the stated one, and that it is not that of the runs' ends."""
    score, stated = comparison.primary, comparison.runs.plan.primary
    if score is None:
        return
    if stated and not comparison.is_stated_primary(score):
        yield f"the primary score {stated} was not measured, and {score.name} speaks instead."
    ends = {(run.arm, run.samples_seen) for run in comparison.runs.finished}
    if not ends >= score.samples_seen.items():
        seen = " and ".join(f"{n:,}" for n in sorted(set(score.samples_seen.values())))
        yield f"the runs are compared after {seen} pairs, and not at their end."


def _cell(run: LoadedRun) -> tuple[str, int]:
    return run.arm, run.seed


def _named(cells: Cells) -> str:
    """Return runs in few words: `pi, seeds 0 and 1; random, seed 0`."""
    by_arm: dict[str, list[int]] = {}
    for arm, seed in sorted(set(cells)):
        by_arm.setdefault(arm, []).append(seed)
    by_seeds: dict[tuple[int, ...], list[str]] = {}
    for arm, seeds in by_arm.items():
        by_seeds.setdefault(tuple(seeds), []).append(arm)
    return "; ".join(
        f"{', '.join(arms)}, seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
        for seeds, arms in by_seeds.items()
    )
