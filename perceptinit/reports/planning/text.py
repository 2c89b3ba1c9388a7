"""A plan in words: as Markdown that is plain on a terminal, too, and in what a comparison departs from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from perceptinit.reports.comparison import Comparison
from perceptinit.reports.contrasts import find_differences
from perceptinit.reports.verdicts.verdict import Verdict
from perceptinit.results.preregistration import plan_sha256, planned_settings
from perceptinit.results.runs import RunSet

SHORT = 12  # digits of a hash that are shown
Cells = Iterable[tuple[str, int]]  # arm, seed
NOT_KNOWN = "not known: [verdict] states no noise with its delta, and no pilot runs (--pilot) tell how much seeds differ"


def plan_text(plan: Mapping[str, Any]) -> str:
    """Return all that a plan says but for the arms' settings, which are in the file."""
    return "\n".join(_lines(plan)) + "\n"


def _lines(plan: Mapping[str, Any]) -> Iterator[str]:
    recipe, verdict = plan["recipe"], plan["verdict"]
    yield f"# Plan of {recipe['name']}"
    yield from ("", recipe["summary"]) if recipe["summary"] else ()
    yield from (
        "",
        f"Written {plan['written']} by perceptinit {plan['versions']['packages'].get('perceptinit', '')}.",
    )
    yield f"SHA-256 {plan_sha256(plan)}"
    delta = verdict["delta"]
    facts = {
        "Expected": plan["hypothesis"],
        "Delta": "not stated, so that no arms can be called equivalent" if delta is None else points(delta),
        "Measured by": ", ".join(str(table.get("use")) for table in plan["shared"]["eval"]),
        "Primary score": plan["measures"],
        "Seeds": ", ".join(map(str, plan["seeds"])),
        "Stopping": plan["stopping"],
        "Left out": plan["exclusions"],
    }  # fmt: skip
    yield from _list("", [f"{name}: {text}" for name, text in facts.items()])
    yield from _list(
        "What is compared",
        [f"{c['arm']} - {c['reference']}: {c['question']}" for c in plan["contrasts"]],
    )
    yield from _list(
        "Arms",
        [
            f"{arm['difference']} (fingerprint {arm['fingerprint']}"
            f"{', baseline' if arm['name'] == plan['baseline'] else ''})"
            for arm in plan["arms"]
        ],
    )
    yield from _list("Tuning", _tuning(plan["tune"]) if "tune" in plan else [])
    yield from _list("Set on the command line", [f"--set {s}" for s in recipe["overrides"]])
    yield from _list("What these seeds can find", plan["prospects"] or [NOT_KNOWN])
    yield from _list("Runs that were there", [_record(row) for row in plan["records"]] or ["none"])


def _tuning(tune: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"every arm alike: {tune['trials']} trials in each of {tune['studies']} studies, by {tune['measure']} of "
        f"{tune['eval']['use']} on validation data"
    )
    for key, r in tune["space"].items():
        yield f"{key} from {r['low']:g} to {r['high']:g} ({r['scale']})"


def points(delta: float) -> str:
    """Return a number of points: `1 point`, `0.5 points`."""
    return f"{delta:g} point{'s' if delta != 1 else ''}"


def _list(title: str, found: Iterable[str]) -> Iterator[str]:
    if lines := list(found):
        yield from ("", f"## {title}") if title else ()
        yield ""
        yield from (f"* {line}" for line in lines)


def _record(row: Mapping[str, Any]) -> str:
    return f"{row['arm']}, seed {row['seed']}: {row['status']}, begun {row['started']}, SHA-256 {row['sha256'][:12]}"


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
    found = [*runs.departures, *_find_departures(comparison, plan)]
    yield from (f"Not as planned ({plan_name(plan)}): {text}" for text in found)
    if not found:
        is_open = any(not v.is_decided for v in answers)
        so_far = _say_how_far(runs, plan["verdict"]["max_seeds"], is_open)
        yield f"As planned{so_far} ({plan_name(plan)})."


def _say_how_far(runs: RunSet, max_seeds: int | None, is_open: bool) -> str:
    if runs.unfinished:
        return f" so far, with {len(runs.finished)} of {len(runs.runs)} runs finished"
    seeds = {run.seed for run in runs.runs}
    if max_seeds and is_open and len(seeds) < max_seeds:
        return f" so far, with {len(seeds)} of at most {max_seeds} seeds and not yet decided"
    return ""


def _find_departures(comparison: Comparison, plan: Mapping[str, Any]) -> Iterator[str]:
    runs = comparison.runs
    if plan["sha256"] != plan_sha256(plan):
        yield f"the plan was edited after it was written, when its hash was {plan['sha256'][:SHORT]}."
    yield from _find_other_plans(runs, plan)
    yield from _find_other_runs(runs, plan)
    yield from _find_other_settings(runs, plan)
    yield from _find_other_contrasts(comparison, plan)
    yield from _find_other_score(comparison)


def _find_other_plans(runs: RunSet, plan: Mapping[str, Any]) -> Iterator[str]:
    """Yield which runs there were before the plan, and which began under another one, or without any."""
    there = {(row["arm"], row["seed"]) for row in plan["records"]}
    began = {(run.arm, run.seed): run.record for run in runs.runs if run.record}
    # a run that knows the plan's hash began after it, whatever the clocks of two machines say
    known = {cell: str(record.get("plan", "")) for cell, record in began.items()}
    shared = {(run.arm, run.seed) for run in runs.runs if run.record and runs.is_shared(run)}
    known |= {
        cell: plan_sha256(plan) if began[cell]["started"] >= plan["written"] else ""
        for cell in shared  # their records name the plan of the other recipe
    }
    changed = [cell for cell in began if known[cell] not in ("", plan_sha256(plan))]
    without = [cell for cell in began if not known[cell] and cell not in there]
    before = [cell for cell in without if began[cell]["started"] < plan["written"]]
    early = [*(there & began.keys() - set(changed)), *before]
    if early:
        yield f"{len(early)} of {len(began)} runs were there before it: {_list_cells(early)}."
    if changed:
        old = " and ".join(sorted({known[cell][:SHORT] for cell in changed}))
        yield f"it was changed after runs had begun, when its hash was {old}: {_list_cells(changed)}."
    if others := set(without) - set(before):
        yield f"these runs began where it was not: {_list_cells(others)}."


def _find_other_runs(runs: RunSet, plan: Mapping[str, Any]) -> Iterator[str]:
    """Yield which runs were added and which are planned and not among those compared."""
    own = [run for run in runs.runs if not runs.is_shared(run)]
    if len(roots := {str(run.folder.resolve().parent.parent) for run in own}) > 1:
        yield f"runs of several folders are compared: {', '.join(sorted(roots))}."
    arms = [arm["name"] for arm in plan["arms"]]
    planned = {(arm, seed) for arm in arms for seed in plan["seeds"]}
    there = {(run.arm, run.seed) for run in runs.runs}
    if added := [(arm, s) for arm, s in there if arm not in arms or not _may_have(plan, s)]:
        yield f"added: {_list_cells(added)}."
    if dropped := planned - there:
        yield f"planned, and not among these runs: {_list_cells(dropped)}."
    if runs.baseline != plan["baseline"]:
        yield f"the baseline was {plan['baseline']}, and is {runs.baseline} here."


def _may_have(plan: Mapping[str, Any], seed: int) -> bool:
    """Return whether a seed is planned, or among those that the stopping rule may add."""
    seeds, most = plan["seeds"], plan["verdict"]["max_seeds"] or 0
    first = max(seeds, default=-1) + 1
    return seed in seeds or first <= seed < first + most - len(seeds)


def _find_other_settings(runs: RunSet, plan: Mapping[str, Any]) -> Iterator[str]:
    """Yield which settings of which arms are others than planned."""
    planned = {arm["name"]: arm for arm in plan["arms"]}
    changed: dict[tuple[str, ...], dict[str, None]] = {}
    for run in runs.runs:
        arm = planned.get(run.arm)
        if run.record and arm and run.record["fingerprint"] != arm["fingerprint"]:
            resolved = run.record["arm"]["resolved"]
            keys = tuple(dict.fromkeys(find_differences(planned_settings(plan, arm), resolved)))
            if not (keys == ("name",) and runs.is_shared(run)):
                changed.setdefault(keys, {})[run.arm] = None
    for keys, arms in changed.items():
        yield f"other settings of {', '.join(arms)}: {', '.join(keys) or 'those of another version'}."


def _find_other_contrasts(comparison: Comparison, plan: Mapping[str, Any]) -> Iterator[str]:
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


def _find_other_score(comparison: Comparison) -> Iterator[str]:
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


def _list_cells(cells: Cells) -> str:
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
