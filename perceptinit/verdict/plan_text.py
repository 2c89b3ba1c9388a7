"""A plan as Markdown, and the departures of a comparison from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby, product
from operator import itemgetter
from typing import Any

from perceptinit.analysis.comparison import Comparison
from perceptinit.analysis.contrasts import find_differences
from perceptinit.analysis.environments import find_other_versions, find_unlike
from perceptinit.results.preregistration import plan_sha256, planned_settings
from perceptinit.results.runs import RunSet
from perceptinit.verdict.verdict import Verdict

SHORT = 12  # displayed digits of a hash
DEPARTED = "Not as planned"
Cells = Iterable[tuple[str, int]]  # arm, seed
NOT_KNOWN = "unknown: [verdict] states no noise with its delta, and there are no pilot runs (--pilot)"


def plan_text(plan: Mapping[str, Any]) -> str:
    """Return a plan as Markdown, without the settings of arms."""
    return "\n".join(_lines(plan)) + "\n"


def _lines(plan: Mapping[str, Any]) -> Iterator[str]:
    recipe, verdict = plan["recipe"], plan["verdict"]
    yield f"# Plan of {recipe['name']}"
    yield from ("", recipe["summary"]) if recipe["summary"] else ()
    version = plan["versions"]["packages"].get("perceptinit", "")
    yield from ("", f"Written {plan['written']} by perceptinit {version}.")
    yield f"SHA-256 {plan_sha256(plan)}"
    delta = verdict["delta"]
    facts = {
        "Expected": plan["hypothesis"],
        "Delta": "not stated, so arms cannot be called equivalent" if delta is None else points(delta),
        "Measured by": ", ".join(str(table.get("use")) for table in plan["shared"]["eval"]),
        "Primary score": plan["measures"],
        "Seeds": ", ".join(map(str, plan["seeds"])),
        "Stopping": plan["stopping"],
        "Excluded": plan["exclusions"],
    }  # fmt: skip
    yield from _list("", [f"{name}: {text}" for name, text in facts.items()])
    compared = (f"{c['arm']} - {c['reference']}: {c['question']}" for c in plan["contrasts"])
    yield from _list("Comparisons", compared)
    role = {plan["baseline"]: ", baseline"}
    arms = (
        f"{arm['difference']} (fingerprint {arm['fingerprint']}{role.get(arm['name'], '')})"
        for arm in plan["arms"]
    )
    yield from _list("Arms", arms)
    yield from _list("Tuning", _describe_tuning(plan["tune"]) if "tune" in plan else [])
    yield from _list("Set on the command line", [f"--set {s}" for s in recipe["overrides"]])
    yield from _list("Power of these seeds", plan["prospects"] or [NOT_KNOWN])
    existing = [
        f"{row['arm']}, seed {row['seed']}: {row['status']}, started {row['started']}, "
        f"SHA-256 {row['sha256'][:SHORT]}"
        for row in plan["records"]
    ]
    yield from _list("Existing runs", existing or ["none"])


def _describe_tuning(tune: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"all arms equally: {tune['trials']} trials in each of {tune['studies']} studies, by "
        f"{tune['measure']} of {tune['eval']['use']} on validation data"
    )
    for key, r in tune["space"].items():
        yield f"{key} from {r['low']:g} to {r['high']:g} ({r['scale']})"


def points(delta: float) -> str:
    """Return a number of points as text, such as `1 point` or `0.5 points`."""
    return f"{delta:g} point{'s' if delta != 1 else ''}"


def _list(title: str, found: Iterable[str]) -> Iterator[str]:
    if lines := list(found):
        yield from ("", f"## {title}") if title else ()
        yield ""
        yield from (f"* {line}" for line in lines)


def plan_name(plan: Mapping[str, Any]) -> str:
    """Return the name of a plan for use in sentences, with its date and the first digits of its hash."""
    return f"plan of {plan['written'][:10]}, {plan_sha256(plan)[:SHORT]}"


def as_planned(comparison: Comparison, answers: Sequence[Verdict]) -> Iterator[str]:
    """Yield each departure from the plan, or a confirmation; nothing without a plan.

    Args:
        comparison: Comparison of the runs.
        answers: Verdicts of the headline. They can be undecided under a stopping rule.
    """
    runs, plan = comparison.runs, comparison.runs.preregistered
    if not plan:
        hashes = {str(record["plan"])[:SHORT] for record in runs.records if record.get("plan")}
        if hashes and not runs.departures and not any(runs.is_shared(run) for run in runs.runs):
            yield (
                f"{DEPARTED}: the plan that the runs name ({', '.join(sorted(hashes))}) is missing. "
                "Restore plan.json."
            )
        yield from (f"{DEPARTED}: {text}" for text in runs.departures)
        return
    found = [*runs.departures, *_find_departures(comparison, plan)]
    yield from (f"{DEPARTED} ({plan_name(plan)}): {text}" for text in found)
    if found:
        return
    max_seeds, seeds = plan["verdict"]["max_seeds"], {run.seed for run in runs.runs}
    so_far = ""
    if runs.unfinished:
        so_far = f" so far, with {len(runs.finished)} of {len(runs.runs)} runs finished"
    elif max_seeds and len(seeds) < max_seeds and not all(v.is_decided for v in answers):
        so_far = f" so far, with {len(seeds)} of at most {max_seeds} seeds and not yet decided"
    yield f"As planned{so_far} ({plan_name(plan)})."


def _find_departures(comparison: Comparison, plan: Mapping[str, Any]) -> Iterator[str]:
    runs = comparison.runs
    if plan["sha256"] != plan_sha256(plan):
        yield f"the plan was edited after it was written, when its hash was {plan['sha256'][:SHORT]}."
    yield from _find_other_plans(runs, plan)
    yield from _find_other_runs(runs, plan)
    yield from _find_other_settings(runs, plan)
    if versions := list(find_other_versions(runs, plan)):
        yield f"other versions: {'; '.join(versions)}."
    if unlike := list(find_unlike(runs)):
        yield f"the arms differ in more than their start: {'; '.join(unlike)}."
    yield from _find_other_contrasts(comparison, plan)
    yield from _find_other_score(comparison)


def _find_other_plans(runs: RunSet, plan: Mapping[str, Any]) -> Iterator[str]:
    """Yield runs that existed before the plan, and runs that started under another plan or none."""
    existing = {(row["arm"], row["seed"]) for row in plan["records"]}
    started, known, sha256 = {}, {}, plan_sha256(plan)
    for run in (run for run in runs.runs if run.record):
        cell = (run.arm, run.seed)
        started[cell] = run.record["started"]
        # a run that records the hash of the plan started after it, even if clocks differ
        known[cell] = str(run.record.get("plan", ""))
        if runs.is_shared(run):  # the record of a reused run contains the plan of its recipe
            known[cell] = sha256 if started[cell] >= plan["written"] else ""
    changed = [cell for cell in started if known[cell] not in ("", sha256)]
    without = [cell for cell in started if not known[cell] and cell not in existing]
    before = [cell for cell in without if started[cell] < plan["written"]]
    early = [*(existing & started.keys() - set(changed)), *before]
    if early:
        yield f"{len(early)} of {len(started)} runs existed before it: {_list_cells(early)}."
    if changed:
        old = " and ".join(sorted({known[cell][:SHORT] for cell in changed}))
        yield f"it was changed after runs had started, when its hash was {old}: {_list_cells(changed)}."
    if others := set(without) - set(before):
        yield f"these runs started without it: {_list_cells(others)}."


def _find_other_runs(runs: RunSet, plan: Mapping[str, Any]) -> Iterator[str]:
    own = [run for run in runs.runs if not runs.is_shared(run)]
    if len(roots := {str(run.folder.resolve().parent.parent) for run in own}) > 1:
        yield f"runs of several folders are compared: {', '.join(sorted(roots))}."
    arms, seeds = {arm["name"] for arm in plan["arms"]}, set(plan["seeds"])
    present = {(run.arm, run.seed) for run in runs.runs}
    # the stopping rule can add seeds
    first, num_more = max(seeds, default=-1) + 1, (plan["verdict"]["max_seeds"] or 0) - len(seeds)
    allowed = set(product(arms, seeds.union(range(first, first + num_more))))
    if added := present - allowed:
        yield f"added: {_list_cells(added)}."
    if dropped := set(product(arms, seeds)) - present:
        yield f"planned but missing: {_list_cells(dropped)}."
    if runs.baseline != plan["baseline"]:
        yield f"the baseline was {plan['baseline']}, and is {runs.baseline} here."


def _find_other_settings(runs: RunSet, plan: Mapping[str, Any]) -> Iterator[str]:
    """Yield settings that differ from the plan, with their arms."""
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
    """Yield contrasts of planned arms that were added, dropped, or ask another question."""
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
                else f'{title} was planned to ask "{old}", but asks "{new}".'
            )  # fmt: skip


def _find_other_score(comparison: Comparison) -> Iterator[str]:
    """Yield a departure if the primary score differs or is not measured at the end of the runs."""
    score, stated = comparison.primary, comparison.runs.plan.primary
    if score is None:
        return
    if stated and not comparison.is_stated_primary(score):
        yield f"the primary score {stated} was not measured, and {score.name} replaces it."
    ends = {(run.arm, run.samples_seen) for run in comparison.runs.finished}
    if not ends >= score.samples_seen.items():
        seen = " and ".join(f"{n:,}" for n in sorted(set(score.samples_seen.values())))
        yield f"the runs are compared after {seen} pairs instead of at their end."


def _list_cells(cells: Cells) -> str:
    """Return runs as text: `pi, seeds 0, 1; random, seed 0`."""
    by_seeds: dict[tuple[int, ...], list[str]] = {}
    for arm, found in groupby(sorted(set(cells)), key=itemgetter(0)):
        by_seeds.setdefault(tuple(seed for _, seed in found), []).append(arm)
    return "; ".join(
        f"{', '.join(arms)}, seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
        for seeds, arms in by_seeds.items()
    )
