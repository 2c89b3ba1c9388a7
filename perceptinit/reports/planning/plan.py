"""Make the plan of a recipe, and write it beside its runs: what is expected, of what, by which rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from perceptinit.configs import to_table
from perceptinit.errors import UsageError
from perceptinit.files.atomic import atomic_path, write_json
from perceptinit.files.checksums import file_sha256
from perceptinit.recipe.recipe import Recipe
from perceptinit.reports.columns import pick
from perceptinit.reports.compare import compare
from perceptinit.reports.comparison import Comparison
from perceptinit.reports.planning.prospects import findings, num_looked_at, pilot_lines
from perceptinit.reports.planning.text import plan_name, plan_text, points
from perceptinit.reports.verdicts.decisions import Rule, rule_of
from perceptinit.reports.verdicts.headline import headline_arms
from perceptinit.results.preregistration import PLAN, SCHEMA, plan_sha256, read_plan, seal_plan
from perceptinit.results.record import RECORD, arm_row, now, versions
from perceptinit.results.runs import LoadedRun, RunSet, load_runs
from perceptinit.results.states import run_folder

TEXT = "plan.md"
# what runs can depart from; the rest follows from it, or is of the moment that the plan was written at
STATED = ("seeds", "verdict", "baseline", "contrasts", "arms", "shared", "tune")
EXCLUSIONS = (
    "Runs that fail, are interrupted or have no finite score are in no mean, and each is named with its reason. "
    "No finished run is left out."
)
BY_RULE = (
    "the first that the runs have of zero-shot top-1, the other zero-shot and retrieval measures, and agreement with "
    "people, averaged where there are several sets; none that an arm was trained on while there is another"
)


def make_plan(recipe: Recipe, out: Path, pilot: Sequence[Path] = ()) -> dict[str, Any]:
    """Return the plan of a recipe whose runs go to `out`, with the runs that are there already.

    pilot: folders of runs that tell how much seeds differ; by default what is there of the recipe's own.
    """
    root = out / recipe.name
    planned = compare(_planned_runs(recipe, root))
    cells = [(arm.name, seed) for arm in recipe.arms for seed in recipe.seeds]
    folders = [root, *(run_folder(root, *cell, recipe.origins) for cell in cells)]
    begun = [folder for folder in folders if next(folder.rglob(RECORD), None)]
    there = load_runs(begun) if begun else None
    named = pick(recipe, "name", "summary", "source")
    plan = {
        "schema": SCHEMA,
        "written": now(),
        "recipe": {**named, "overrides": list(recipe.overrides)},
        "hypothesis": recipe.verdict.hypothesis or hypothesis(planned),
        "stopping": _stopping(rule_of(recipe.verdict, len(recipe.seeds)), len(recipe.seeds)),
        "measures": recipe.verdict.primary or BY_RULE,
        "exclusions": EXCLUSIONS,
        "prospects": [*findings(recipe), *_pilot(recipe, pilot, there)],
        "records": [_record_row(run) for run in (there.runs if there else ()) if run.record],
        "versions": versions(),
        **_state_design(recipe, planned),
    }
    return seal_plan(plan)


def _state_design(recipe: Recipe, planned: Comparison) -> dict[str, Any]:
    """Return what runs can depart from: STATED, of those that the recipe has."""
    arms: list[dict[str, Any]] = []
    shared: dict[str, Any] = {}
    tune: dict[str, Any] = {}
    for arm in recipe.arms:
        row = arm_row(recipe, arm)
        resolved = row["resolved"]
        shared = shared or {key: resolved[key] for key in ("backbone", "pretrain", "eval")}
        said = {key: row[key] for key in ("name", "summary", "difference")}
        own = {key: resolved[key] for key in ("init", "posthoc")}
        arms.append({**said, "fingerprint": recipe.fingerprint(arm), **own})
    if recipe.tune:
        space = {d.path: to_table(d.range) for d in recipe.tune.space}
        how = {**to_table(recipe.tune.config), "eval": recipe.tune.evaluator.table()}
        tune = {"tune": {**how, "space": space}}
    return {
        "seeds": list(recipe.seeds),
        "verdict": pick(recipe.verdict, "delta", "max_seeds", "primary"),
        "baseline": recipe.baseline,
        "contrasts": [
            {**pick(c, "arm", "reference"), "question": str(c.question)} for c in planned.contrasts
        ],
        "arms": arms,
        "shared": shared,
        **tune,
    }


def keep_plan(plan: Mapping[str, Any], root: Path, *, replaces: bool = False) -> str:
    """Write a plan into the folder of a recipe's runs and return what happened, in a sentence.

    A plan that says the same stands as it was written. Another one is kept under its hash.

    Raises UsageError where there is another one, unless the new one `replaces` it.
    """
    path = root / PLAN
    old = read_plan(root)
    kept = ""
    if old:
        changed = _find_changes(old, plan, (*STATED, "hypothesis"))
        if not changed:
            return f"{path}: the {plan_name(old)} says the same, and stands."
        if not replaces:
            raise UsageError(
                f"{path}: there is a {plan_name(old)}, which says otherwise: {', '.join(changed)}. It stands. "
                "--replace writes the new one and keeps it; runs that have begun will be told from those after it"
            )
        aside = root / f"plan-{plan_sha256(old)[:12]}.json"
        write_json(aside, old)
        kept = f" The {plan_name(old)} is kept as {aside.name}."
    with atomic_path(root / TEXT) as temporary:
        temporary.write_text(plan_text(plan), encoding="utf-8")
    write_json(path, plan)
    return f"{path}: {plan_name(plan)}.{kept}"


def departures_before(recipe: Recipe, out: Path) -> Iterator[str]:
    """Yield in what a recipe departs from the plan of its runs, before they begin; nothing without a plan."""
    root = out / recipe.name
    plan = read_plan(root)
    if not plan:
        return
    stated = seal_plan(_state_design(recipe, compare(_planned_runs(recipe, root))))
    changed = _find_changes(plan, stated)
    if changed:
        yield (
            f"not as planned: {', '.join(changed)} of this recipe are others than in the {plan_name(plan)} "
            f"({root / PLAN}), and the table will say so. If that is meant, and nothing has run: "
            "perceptinit preregister --replace"
        )


def _find_changes(old: Mapping[str, Any], new: Mapping[str, Any], keys: Sequence[str] = STATED) -> list[str]:
    return [key for key in keys if old.get(key) != new.get(key)]


def hypothesis(planned: Comparison) -> str:
    """Return what the arms of a plan say is expected, in a sentence."""
    arms = headline_arms(planned)
    compared = [c for c in planned.contrasts if c.arm in arms]
    if not compared:
        return "One arm, and nothing to compare it with."
    parts = (c.question.expected.format(arm=c.arm, reference=c.reference) for c in compared)
    delta = planned.runs.plan.delta
    matter = f"; differences within {points(delta)} do not matter" if delta else ""
    return f"{', and '.join(parts)}{matter}."


def _planned_runs(recipe: Recipe, root: Path) -> RunSet:
    """Return the recipe's runs as if none had begun, each with what its record will say of its arm."""
    runs = [
        LoadedRun(arm.name, seed, root / arm.name / f"seed{seed}", "not started", {"arm": row})
        for arm in recipe.arms
        for row in [arm_row(recipe, arm)]
        for seed in recipe.seeds
    ]
    arms = tuple(arm.name for arm in recipe.arms)
    named, num = (recipe.name, recipe.summary, recipe.baseline), len(recipe.seeds)
    return RunSet(*named, arms, tuple(runs), plan=recipe.verdict, num_planned=num)


def _record_row(run: LoadedRun) -> dict[str, Any]:
    own = {key: run.record[key] for key in ("status", "started")}
    return {**pick(run, "arm", "seed"), **own, "sha256": file_sha256(run.folder / RECORD)}


def _stopping(rule: Rule, num: int) -> str:
    if rule.last is None:
        return f"{num} seed{'s' if num > 1 else ''}, looked at once, when all runs have finished."
    return (
        f"From {rule.first} seeds on, one more after each look until every answer of the headline is decided, at most "
        f"{rule.last} seeds; each interval is one of {100 * rule.confidence:.1f} %, so that all of them hold with 95 %."
    )


def _pilot(recipe: Recipe, pilot: Sequence[Path], there: RunSet | None) -> Iterator[str]:
    """Yield what the planned seeds find if they vary as pilot runs do; without such runs, nothing."""
    runs = load_runs(pilot) if pilot else there
    num = num_looked_at(recipe)
    if runs is None or num < 2:
        return
    runs = replace(runs, plan=replace(recipe.verdict, max_seeds=None))
    is_there = any(run.arm == recipe.baseline for run in runs.finished)
    try:
        comparison = compare(runs, baseline=recipe.baseline if is_there else None)
    except UsageError as error:
        # runs that differ, or ended at different counts: the plan holds without them
        yield f"not known from the runs there: {error}"
        return
    yield from pilot_lines(comparison, rule_of(recipe.verdict, len(recipe.seeds)), num)
