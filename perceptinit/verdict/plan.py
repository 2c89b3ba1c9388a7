"""Create and save the plan of a recipe, with hypothesis, contrasts and decision rule."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from perceptinit.analysis.compare import compare
from perceptinit.analysis.comparison import Comparison
from perceptinit.analysis.contrasts import Contrast, find_contrasts
from perceptinit.analysis.decisions import Rule, rule_of
from perceptinit.analysis.questions import planned_questions
from perceptinit.configs import pick, to_table
from perceptinit.errors import UsageError
from perceptinit.files.atomic import write_file, write_json
from perceptinit.files.markup import to_markdown
from perceptinit.files.reading import file_sha256
from perceptinit.recipe.old_keys import restore_plan
from perceptinit.recipe.recipe import Recipe
from perceptinit.results.preregistration import PLAN, SCHEMA, is_edited, plan_sha256, read_plan, seal_plan
from perceptinit.results.record import RECORD, arm_row, now, versions
from perceptinit.results.run_tables import TablePlan
from perceptinit.results.runs import LoadedRun, RunSet, load_runs
from perceptinit.results.source import TABLE
from perceptinit.results.states import run_folder
from perceptinit.verdict.headline import headline_arms
from perceptinit.verdict.plan_text import plan_name, plan_text, points
from perceptinit.verdict.prospects import find_weakness, findings, num_looked_at, pilot_lines, planned_runs

TEXT = "plan.md"
# parts of a plan that runs are checked against
STATED = ("seeds", "verdict", "baseline", "contrasts", "arms", "shared", "tune", "columns")
EXCLUSIONS = (
    "Runs that fail, are interrupted or have no finite score are excluded from every mean, and each is "
    "listed with the reason. Finished runs are never excluded."
)
BY_RULE = (
    "the first measured one of zero-shot top-1, the other zero-shot and retrieval measures, and agreement "
    "with people, averaged over several sets; a score that an arm was trained on only if there is no other"
)


def make_plan(
    recipe: Recipe, out: Path, pilot: Sequence[Path] = (), *, anyway: bool = False
) -> dict[str, Any]:
    """Return the plan of a recipe, including a list of its existing runs.

    Args:
        recipe: Recipe.
        out: Parent of the recipe's output folder.
        pilot: Folders of runs used to estimate the noise over seeds. Default: the recipe's existing runs.
        anyway: Whether to accept low power.

    Raises:
        UsageError: If the power to detect a difference of delta is low.
    """
    root = out / recipe.name
    planned = compare(planned_runs(recipe, root))
    cells = product(recipe.arms, recipe.seeds)
    folders = [root, *(run_folder(root, arm.name, seed, recipe.origins) for arm, seed in cells)]
    started = [folder for folder in folders if next(folder.rglob(RECORD), None)]
    existing = load_runs(started) if started else None
    design = _state_design(recipe, planned)
    records = [
        {
            **pick(run, "arm", "seed"),
            "status": run.record["status"],
            "started": run.record["started"],
            "sha256": file_sha256(run.folder / RECORD),
        }
        for run in (existing.runs if existing else ())
        if run.record
    ]
    return _complete_plan(recipe, planned, design, records, load_runs(pilot) if pilot else existing, anyway)


def make_table_plan(plan: TablePlan, pilot: RunSet | None = None, *, anyway: bool = False) -> dict[str, Any]:
    """Return the plan of runs in a table, in the form of `make_plan`.

    Args:
        plan: Arms, seeds and `[verdict]`.
        pilot: Runs used to estimate the noise over seeds.
        anyway: Whether to accept low power.

    Raises:
        UsageError: If the power to detect a difference of delta is low.
    """
    place = Path(plan.source)
    runs = RunSet(
        plan.name,
        plan.summary,
        plan.baseline,
        plan.arms,
        tuple(LoadedRun(*cell, place, "not started") for cell in product(plan.arms, plan.seeds)),
        rule=plan.verdict,
        num_planned=len(plan.seeds),
        source=TABLE,
    )
    planned = compare(runs)
    others = list(plan.arms)
    others.remove(plan.baseline)
    family = f"{others[0]} - {plan.baseline}: 95 % interval"
    if others[1:]:
        family = f"{family}; {', '.join(others[1:])} - {plan.baseline}: simultaneous 95 % intervals"
    design: dict[str, Any] = {
        "seeds": list(plan.seeds),
        "verdict": plan.verdict.state(),
        "baseline": plan.baseline,
        "contrasts": _state_contrasts(planned),
        "arms": [
            {"name": arm, "summary": "", "difference": arm, "fingerprint": "", "init": [], "posthoc": []}
            for arm in plan.arms
        ],
        "shared": {"backbone": {}, "pretrain": None, "eval": []},
        "columns": dict(plan.columns),
        **({"direction": plan.direction} if plan.direction else {}),
        "family": family,
    }
    return _complete_plan(plan, planned, design, [], pilot, anyway)


def _complete_plan(
    recipe: Recipe | TablePlan,
    planned: Comparison,
    design: Mapping[str, Any],
    records: Sequence[Mapping[str, Any]],
    pilot: RunSet | None,
    anyway: bool,
) -> dict[str, Any]:
    """Return a plan: its analysis in words, its power, the records that existed before it, and its design."""
    contrasts = find_contrasts(replace(planned.runs, plan=design))
    power = _estimate_power(recipe, planned.runs.arms, pilot, contrasts, anyway)
    return seal_plan(
        {
            "schema": SCHEMA,
            "written": now(),
            "recipe": {**pick(recipe, "name", "summary", "source"), "overrides": list(recipe.overrides)},
            "hypothesis": recipe.verdict.hypothesis or hypothesis(planned),
            "stopping": _stopping(rule_of(recipe.verdict, len(recipe.seeds)), len(recipe.seeds)),
            "measures": recipe.verdict.primary or f"{BY_RULE}{planned.runs.source.words.other_primary}",
            "exclusions": EXCLUSIONS,
            "prospects": [*findings(recipe, contrasts), *power],
            "records": list(records),
            "versions": versions(),
            **design,
        }
    )


def _state_design(recipe: Recipe, planned: Comparison) -> dict[str, Any]:
    """Return the parts of the plan that runs are checked against (`STATED`)."""
    rows = {arm.name: arm_row(recipe, arm) for arm in recipe.arms}
    first = next(iter(rows.values()))["resolved"]
    tune: dict[str, Any] = {}
    if recipe.tune:
        space = {d.path: to_table(d.range) for d in recipe.tune.space}
        how = {**to_table(recipe.tune.config), "eval": recipe.tune.evaluator.table()}
        tune = {"tune": {**how, "space": space}}
    return {
        "seeds": list(recipe.seeds),
        "verdict": recipe.verdict.state(),
        "baseline": recipe.baseline,
        "contrasts": _state_contrasts(planned),
        "arms": [_state_arm(rows[arm.name], recipe.fingerprint(arm)) for arm in recipe.arms],
        "shared": {key: first[key] for key in ("backbone", "pretrain", "eval")},
        **tune,
    }


def _state_contrasts(planned: Comparison) -> list[dict[str, str]]:
    return [
        {**pick(c, "arm", "reference"), "question": c.question.key, "text": c.question.text}
        for c in planned.contrasts
    ]


def _state_arm(row: Mapping[str, Any], fingerprint: str) -> dict[str, Any]:
    said = {key: row[key] for key in ("name", "summary", "difference")}
    own = {key: row["resolved"][key] for key in ("init", "posthoc")}
    return {**said, "fingerprint": fingerprint, **own}


def keep_plan(plan: Mapping[str, Any], root: Path, *, replaces: bool = False) -> str:
    """Write a plan to the output folder of a recipe and return a sentence on the result.

    If the existing plan is equal, nothing is written. A replaced plan is kept in a file named after its hash.

    Raises:
        UsageError: If a different plan exists and `replaces` is false.
    """
    path = root / PLAN
    old = read_plan(root)
    kept = ""
    if old:
        # without --replace, the power is not compared, because it may come from other pilot runs
        changed = _find_changes(old, plan, (*STATED, "hypothesis", *(["prospects"] if replaces else [])))
        if not changed:
            return f"{path}: the {plan_name(old)} is unchanged."
        if not replaces:
            raise UsageError(
                f"{path}: the {plan_name(old)} differs from the new plan in {', '.join(changed)}. Add "
                "--replace to replace it. A copy is kept, and runs that started under it are reported"
            )
        aside = root / f"plan-{plan_sha256(old)[:12]}.json"
        write_json(aside, old)
        kept = f" The {plan_name(old)} is kept as {aside.name}."
    write_file(root / TEXT, plan_text(plan, to_markdown).encode())
    write_json(path, plan)
    return f"{path}: {plan_name(plan)}.{kept}"


def departures_before(recipe: Recipe, out: Path) -> Iterator[str]:
    """Yield departures of a recipe from its plan before runs start; nothing without a plan."""
    root = out / recipe.name
    plan = read_plan(root)
    if not plan:
        return
    stated = seal_plan(_state_design(recipe, compare(planned_runs(recipe, root))))
    changed = _find_changes(plan, stated)
    if is_edited(plan):
        yield f"not as planned: {root / PLAN} was edited after it was written. Restore the file"
    if changed:
        yield (
            f"not as planned: {', '.join(changed)} of this recipe differ from the {plan_name(plan)} "
            f"({root / PLAN}), which the table will report. To replace the plan before any run: "
            "perceptinit preregister --replace"
        )


def _find_changes(old: Mapping[str, Any], new: Mapping[str, Any], keys: Sequence[str] = STATED) -> list[str]:
    """Return the keys whose values differ. Contrasts are equal if they ask the same question."""
    before = restore_plan(old)
    changed = [key for key in keys if before.get(key) != new.get(key)]
    asked = [list(planned_questions(plan).items()) for plan in (old, new)]
    return [key for key in changed if key != "contrasts" or asked[0] != asked[1]]


def hypothesis(planned: Comparison) -> str:
    """Return a sentence on the expected outcomes of a plan's contrasts."""
    arms = headline_arms(planned)
    compared = [c for c in planned.contrasts if c.arm in arms]
    if not compared:
        return "One arm without a comparison."
    parts = (c.question.expected.format(arm=c.arm, reference=c.reference) for c in compared)
    delta = planned.runs.rule.delta
    matter = f"; differences within {points(delta)} do not matter" if delta else ""
    return f"{', and '.join(parts)}{matter}."


def _stopping(rule: Rule, num: int) -> str:
    if rule.last is None:
        return f"{num} seed{'s' if num > 1 else ''}, with one look when all runs have finished."
    return (
        f"From {rule.first} seeds, one more after each look until every answer of the verdict is decided, "
        f"up to {rule.last} seeds; each interval has a level of {100 * rule.confidence:.1f} %, so that all "
        "hold with 95 %."
    )


def _estimate_power(
    recipe: Recipe | TablePlan,
    arms: Sequence[str],
    runs: RunSet | None,
    contrasts: Sequence[Contrast],
    anyway: bool,
) -> Iterator[str]:
    """Yield the power of the planned seeds, estimated from pilot runs if there are any."""
    pilot = None
    if runs is not None and num_looked_at(recipe) > 1:
        verdict = replace(recipe.verdict, max_seeds=None)
        planned = {runs.baseline, *arms}
        present = tuple(arm for arm in runs.arms if arm in planned)
        of_arms = tuple(run for run in runs.runs if run.arm in planned)
        runs = replace(runs, arms=present, runs=of_arms, rule=verdict)
        has_baseline = any(run.arm == recipe.baseline for run in runs.finished)
        try:
            pilot = compare(runs, baseline=recipe.baseline if has_baseline else None)
        except UsageError as error:
            # incomparable pilot runs do not invalidate the plan
            yield f"unknown from the existing runs: {error}"
    weak = find_weakness(recipe, contrasts, pilot)
    if weak and not anyway:
        raise UsageError(f"{weak}. Add seeds, or write this plan with --anyway")
    if pilot:
        yield from pilot_lines(recipe, pilot, contrasts)
