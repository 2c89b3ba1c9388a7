"""Planned arms, seeds and `[verdict]`, read from recipes in records or from a recipe file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import Any

from perceptinit.components.building import PARTS
from perceptinit.components.plugin_manager import build_plugin_manager
from perceptinit.configs import find_neutral_keys, read_config
from perceptinit.errors import DataError, PerceptInitError, require_valid
from perceptinit.recipe.old_keys import restore_overrides, restore_text
from perceptinit.recipe.settings import LATER, ExpectConfig, VerdictConfig
from perceptinit.recipe.shipped import find, read_text
from perceptinit.recipe.tables import ARM_SLOTS, apply_overrides, parse_toml, stage_names
from perceptinit.recipe.text import (
    Origin,
    RecipeText,
    merge_files,
    read_recipe_text,
    settings_by_arm,
)
from perceptinit.recipe.tuning import flatten
from perceptinit.registry import Registry
from perceptinit.results.preregistration import PLAN, read_plan

PLANNED = ("delta", "max_seeds", "primary", *LATER)  # keys of [verdict] that affect the conclusions
Changes = Mapping[str, tuple[str, ...]]  # sentences by arm
Sources = tuple[tuple[str, str], ...]  # path and text of a recipe and of its `like` ancestors


@dataclass(frozen=True, slots=True)
class Planned:
    """The parts of a recipe that comparisons use.

    Attributes:
        root: Output folder of the recipe.
        started: Start time of the run whose record contains the recipe; empty for a recipe file.
        changes: Differences of each arm from the published setting of `expected`.
        origins: Experiments whose runs are reused, by arm.
    """

    arms: tuple[str, ...]
    seeds: tuple[int, ...]
    verdict: VerdictConfig
    expected: tuple[ExpectConfig, ...]
    baseline: str
    summary: str
    name: str = ""
    root: Path = Path()
    started: str = ""
    changes: Changes = field(default_factory=dict)
    origins: Mapping[str, Origin] = field(default_factory=dict)

    @classmethod
    def of_record(cls, record: Mapping[str, Any], root: Path) -> Planned:
        recipe = record["recipe"]
        sources = tuple((each["path"], each["text"]) for each in recipe.get("sources", ()))
        found = read_planned(recipe["text"], recipe["source"], tuple(recipe["overrides"]), sources)
        if recipe["smoke"]:
            found = replace(found, seeds=found.seeds[:1], origins={})
        stated = {key: recipe[key] for key in ("name", "summary", "baseline")}
        return replace(found, **stated, root=root, started=record["started"])

    @classmethod
    def of_file(cls, path: Path, root: Path) -> Planned:
        text = read_recipe_file(path)
        found = _read_tables(text.tables, str(path))
        return replace(found, name=root.name, root=root, origins=text.find_origins(text.tables))


@cache  # the records of a recipe's runs contain the same text
def read_planned(text: str, source: str, overrides: tuple[str, ...], sources: Sources) -> Planned:
    """Parse the parts of a recipe that comparisons use.

    Args:
        text: Recipe, merged with its `like` ancestors.
        source: Path of the recipe file.
        overrides: `path=value` strings.
        sources: Files that `text` was merged from. The first one with `[[expect]]` defines the published
            setting.
    """
    text = restore_text(text, source)
    tables = {"verdict": {}, **parse_toml(text, source)}
    apply_overrides(tables, restore_overrides(overrides))
    files = tuple((path, restore_text(own, path)) for path, own in sources) or ((source, text),)
    stating = [i for i, (path, own) in enumerate(files) if "expect" in parse_toml(own, path)]
    changes = _compare_settings(merge_files(files[stating[0] :]).tables, tables) if stating else {}
    origins = merge_files(files).find_origins(tables)
    return replace(_read_tables(tables, source), changes=changes, origins=origins)


def _compare_settings(stated: Mapping[str, Any], used: Mapping[str, Any]) -> Changes:
    """Return how the backbone, stages and pretraining of each arm differ between two recipes.

    Keys that are marked with `NEUTRAL` do not count. Marks are read from installed components only, because
    a comparison does not execute the one-file plug-ins of a recipe.
    """
    stated_by_arm = settings_by_arm(stated, ("backbone", "pretrain"))
    used_by_arm = settings_by_arm(used, ("backbone", "pretrain"))
    if stated_by_arm == used_by_arm:  # without an import of the components
        return {}
    registry = build_plugin_manager().registry
    found = {}
    for arm, settings in used_by_arm.items():
        old = _flatten_settings(stated_by_arm.get(arm, {}), registry)
        now = _flatten_settings(settings, registry)
        found[arm] = tuple(
            f"{path} = {now.get(path, 'its default')} instead of {old.get(path, 'its default')}"
            for path in {**old, **now}
            if old.get(path) != now.get(path)
        )
    return found


def _flatten_settings(settings: Mapping[str, Any], registry: Registry) -> dict[str, Any]:
    """Return the settings of an arm by path, without those that do not affect results."""
    kinds = {"backbone": "backbone", "pretrain": "pretrainer"}
    tables = {slot: settings.get(slot) for slot in kinds}
    for slot in ARM_SLOTS:
        stages = settings.get(slot, [])
        names = stage_names(slot, len(stages))
        tables |= zip(names, stages, strict=True)
        kinds |= dict.fromkeys(names, "initializer")
    kept = {name: _leave_out_neutral(kinds[name], table, registry) for name, table in tables.items()}
    return {path: value for path, value in flatten(kept) if value not in (None, [], {})}


def _leave_out_neutral(kind: str, table: Any, registry: Registry) -> Any:
    """Return the table of a component without its neutral keys. An unknown component has none."""
    if not isinstance(table, Mapping):
        return table
    neutral: frozenset[str] = frozenset()
    with suppress(PerceptInitError):
        neutral = find_neutral_keys(registry.get(kind, str(table.get("use"))).load().Config)  # type: ignore[attr-defined]
    return {
        key: _leave_out_neutral(PARTS[key], value, registry) if key in PARTS else value
        for key, value in table.items()
        if key not in neutral
    }


def _read_tables(tables: Mapping[str, Any], source: str) -> Planned:
    """Parse recipe tables; raise RecipeError if `[verdict]` or `[[expect]]` is invalid."""
    arms = [str(arm.get("name")) for arm in tables.get("arm") or [{"name": "default"}]]
    read = [read_config(ExpectConfig, table, "expect") for table in tables.get("expect", ())]
    problems = [problem for _, found in read for problem in found]
    stated = read_config(VerdictConfig, tables.get("verdict", {}), "verdict")
    return Planned(
        arms=tuple(arms),
        seeds=tuple(tables.get("seeds", [0])),
        verdict=require_valid(stated, problems, source),
        expected=tuple(config for config, _ in read if config),
        baseline=str(tables.get("baseline", arms[0])),
        summary=str(tables.get("summary", "")),
    )


def read_recipe_file(path: Path) -> RecipeText:
    """Read a recipe file, or the bundled recipe of that name."""
    path = find(path)
    return read_recipe_text(read_text(path), str(path), path.parent)


def verdict_of(newest: Sequence[Planned]) -> dict[str, Any]:
    """Return the fields of `RunSet` that depend on `[verdict]` and `[[expect]]`.

    A recipe file takes precedence over runs, and a folder with a plan over others of the same experiment;
    otherwise the newest run applies. The largest `max_seeds` of all runs applies, because interim analyses
    cannot be undone.
    """
    if not newest:
        return {}
    roots = dict.fromkeys(p.root for p in newest if p.name == newest[0].name)
    planned = next((root for root in roots if (root / PLAN).exists()), newest[0].root)
    from_runs = next(p for p in newest if p.root == planned)
    named = next((p for p in newest if not p.started), from_runs)
    same = [p for p in newest if p.root == named.root]
    max_seeds = max(p.verdict.max_seeds or 0 for p in same) or None
    verdict = replace(named.verdict, max_seeds=max_seeds)
    began = next((p for p in reversed(same) if p.started), named).verdict
    replaced: list[dict[str, Any]] = []
    try:
        plan = read_plan(named.root)
        replaced = read_replaced(named.root / PLAN)
    except DataError as error:
        plan = {}
        departures = [f"{error}."]
    else:
        departures = list(find_changes(plan, began, verdict))
    return {
        "rule": verdict,
        "num_planned": min(len(p.seeds) for p in same),
        "num_listed": max(len(p.seeds) for p in same),
        "departures": tuple(departures),
        "earlier": next(filter(None, (*replaced, plan)), {"verdict": asdict(began)})["verdict"],
        "plan": plan,
        "expected": named.expected,
        "origins": named.origins,
        "changes": {
            arm: tuple(dict.fromkeys(text for p in same for text in p.changes.get(arm, ())))
            for arm in dict.fromkeys(arm for p in same for arm in p.changes)
        },
    }


def read_replaced(path: Path) -> list[dict[str, Any]]:
    """Return the other plans in the folder of a plan, which were kept when it was replaced; oldest first."""
    others = {*path.parent.glob("plan-*.json"), *path.parent.glob(PLAN)} - {path}
    return sorted((read_plan(path.parent, other.name) for other in others), key=itemgetter("written"))


def find_changes(plan: Mapping[str, Any], began: VerdictConfig, now: VerdictConfig) -> Iterator[str]:
    """Yield the changes of `[verdict]` since the plan or, without a plan, since the first run."""
    for key in PLANNED:
        old = plan["verdict"].get(key) if plan else getattr(began, key)
        new = getattr(now, key)
        if (old or None) != (new or None):
            when = "in the plan" if plan else "when the first run began"
            before, after = (str(value or "not stated") for value in (old, new))
            yield f"[verdict] {key} was {before} {when}, and is {after} now."
