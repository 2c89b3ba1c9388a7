"""What the recipes of runs asked for: arms, seeds and `[verdict]`, from their text in records or from a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from perceptinit.configs import read_config
from perceptinit.errors import DataError, RecipeError
from perceptinit.recipe.published_setting import Changes, changes
from perceptinit.recipe.settings import ExpectConfig, VerdictConfig
from perceptinit.recipe.shipped import find, read_text
from perceptinit.recipe.tables import apply_overrides, parse_toml
from perceptinit.recipe.text import Origin, RecipeText, merge_files, read_recipe_text
from perceptinit.results.preregistration import read_plan

PLANNED = ("delta", "max_seeds", "primary")  # keys of [verdict] that an answer depends on


@dataclass(frozen=True, slots=True)
class Planned:
    """What a recipe's text asks for, and the folder of its runs; started: empty for a recipe that is named itself.

    changes: in what the arms leave the setting that `expected` was published for. origins: experiments whose runs
    some arms share.
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
        found = _read_recipe(recipe["text"], recipe["source"], tuple(recipe["overrides"]), sources)
        if recipe["smoke"]:
            found = replace(found, seeds=found.seeds[:1], origins={})
        stated = {key: recipe[key] for key in ("name", "summary", "baseline")}
        return replace(found, **stated, root=root, started=record["started"])

    @classmethod
    def of_file(cls, path: Path, root: Path) -> Planned:
        text = _read_text(path)
        found = _read_tables(text.tables, str(path))
        origins = text.find_origins(text.tables)
        return replace(found, name=root.name, root=root, origins=origins)


Sources = tuple[tuple[str, str], ...]  # path and text of each file that a recipe is like


@cache  # the runs of a recipe have one text
def _read_recipe(text: str, source: str, overrides: tuple[str, ...], sources: Sources) -> Planned:
    tables = {"verdict": {}, **parse_toml(text, source)}
    apply_overrides(tables, overrides)
    left = changes(text, source, overrides, sources)
    origins = merge_files(sources).find_origins(tables) if sources else {}
    return replace(_read_tables(tables, source), changes=left, origins=origins)


def _read_tables(tables: Mapping[str, Any], source: str) -> Planned:
    """Return what the tables of a recipe say; RecipeError for what is wrong in `[verdict]` or `[[expect]]`."""
    arms = [str(arm.get("name")) for arm in tables.get("arm") or [{"name": "default"}]]
    verdict, problems = read_config(VerdictConfig, tables.get("verdict", {}), "verdict")
    read = [read_config(ExpectConfig, table, "expect") for table in tables.get("expect", ())]
    problems += [problem for _, found in read for problem in found]
    if verdict is None or problems:
        raise RecipeError(problems, source)
    return Planned(
        arms=tuple(arms),
        seeds=tuple(tables.get("seeds", [0])),
        verdict=verdict,
        expected=tuple(config for config, _ in read if config),
        baseline=str(tables.get("baseline", arms[0])),
        summary=str(tables.get("summary", "")),
    )


def read_tables(path: Path) -> Mapping[str, Any]:
    """Return the tables of a recipe file, or of the shipped recipe of that name, with what it is like."""
    return _read_text(path).tables


def _read_text(path: Path) -> RecipeText:
    path = find(path)
    return read_recipe_text(read_text(path), str(path), path.parent)


def verdict_of(newest: Sequence[Planned]) -> dict[str, Any]:
    """Return the `[verdict]` and `[[expect]]` that hold: of the recipe file where one is named, else of the
    newest run; with what any run changed of the published setting.

    Looks that any run was made for stay made, so that the largest `max_seeds` counts.
    """
    if not newest:
        return {}
    named = next((p for p in newest if not p.started), newest[0])
    same = [p for p in newest if p.root == named.root]
    max_seeds = max(p.verdict.max_seeds or 0 for p in same) or None
    verdict = replace(named.verdict, max_seeds=max_seeds)
    began = next((p for p in reversed(same) if p.started), named).verdict
    try:
        plan = read_plan(named.root)
    except DataError as error:
        plan, departures = {}, [f"{error}."]
    else:
        departures = list(_find_changes(plan, began, verdict))
    return {
        "plan": verdict,
        "num_planned": min(len(p.seeds) for p in same),
        "departures": tuple(departures),
        "preregistered": plan,
        "expected": named.expected,
        "origins": named.origins,
        "changes": {
            arm: tuple(dict.fromkeys(text for p in same for text in p.changes.get(arm, ())))
            for arm in dict.fromkeys(arm for p in same for arm in p.changes)
        },
    }


def _find_changes(plan: Mapping[str, Any], began: VerdictConfig, now: VerdictConfig) -> Iterator[str]:
    """Yield what of `[verdict]` is not as it was planned: in the plan, or without one when the first run began."""
    for key in PLANNED:
        old = plan["verdict"][key] if plan else getattr(began, key)
        new = getattr(now, key)
        if (old or None) != (new or None):
            when = "in the plan" if plan else "when the first run began"
            before, after = (str(value or "not stated") for value in (old, new))
            yield f"[verdict] {key} was {before} {when}, and is {after} now."
