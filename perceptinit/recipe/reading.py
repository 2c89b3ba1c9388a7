"""From a recipe's text to a checked recipe, or to every problem in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from perceptinit.components.building import (
    PART_TITLES,
    Spec,
    needed_by,
    parts_left_by,
    read_spec,
)
from perceptinit.components.plugin_manager import Plugins, build_plugin_manager
from perceptinit.configs import read_config
from perceptinit.errors import Problem, RecipeError, shown
from perceptinit.recipe.checkpoint_config import CheckpointConfig
from perceptinit.recipe.differences import as_like, closest
from perceptinit.recipe.expect_config import ExpectConfig
from perceptinit.recipe.likes import resolve
from perceptinit.recipe.places import list_paths, places, written
from perceptinit.recipe.recipe import Arm, EvalSlot, Recipe, stages_by_name
from perceptinit.recipe.shipped import find
from perceptinit.recipe.slurm_config import SlurmConfig
from perceptinit.recipe.tables import ARM_SLOTS, apply_overrides, expand_variables, read_text
from perceptinit.recipe.text import stand_alone
from perceptinit.recipe.tuning import TuneReader, Tuning, seed_problems
from perceptinit.recipe.verdict_config import VerdictConfig
from perceptinit.registry import nearest, unknown

ROOT_KEYS = (
    "schema", "like", "name", "summary", "seeds", "baseline", "plugins", "data",
    "backbone", "init", "pretrain", "posthoc", "eval", "verdict", "expect", "tune", "track", "checkpoint",
    "slurm", "arm",
)  # fmt: skip
ARM_KEYS = ("name", "summary", *ARM_SLOTS)
LIST_SLOTS = {"init": "initializer", "posthoc": "initializer", "track": "tracker"}
SETTINGS = {"checkpoint": CheckpointConfig, "slurm": SlurmConfig, "verdict": VerdictConfig}
REPEATED = (
    "repeats the shared stage, so that what is set there (--set {name}.KEY=VALUE) does not reach this "
    "arm. Write instead: {line}"
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # a folder is named so


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe file, or the one of that name that comes with perceptinit.

    overrides: `path=value` strings, as of `--set`.

    Raises RecipeError with every problem in it, UsageError when there is no such file.
    """
    path = find(path)
    return read_recipe(read_text(path), source=str(path), overrides=overrides, folder=path.parent)


def read_recipe(
    text: str, *, source: str = "recipe", overrides: Sequence[str] = (), folder: Path = Path()
) -> Recipe:
    """Check a recipe's text; `folder` is where `like` and local `plugins` are looked for."""
    found = stand_alone(text, source, folder)
    for slot in SETTINGS:
        found.tables.setdefault(slot, {})  # all of it has defaults, so --set may name any key
    problems = apply_overrides(found.tables, overrides)
    if "like" in found.tables:
        problems.append(
            Problem("--set like", "another recipe is merged before: name it in the file")
        )
    resolved, wrong = resolve(found.tables)
    where = dict(places(resolved))
    tables, unset = expand_variables(resolved)
    problems += [*wrong, *_as_written(unset, where)]
    if problems:
        raise RecipeError(dict.fromkeys(problems), source)
    local = tables.get("plugins", [])
    if not isinstance(local, list) or not all(isinstance(p, str) for p in local):
        raise RecipeError(
            [Problem("plugins", f"expected an array of paths, got {local!r}")], source
        )
    plugins = build_plugin_manager([folder / p for p in local])
    reader = _Reader(tables, plugins, where)
    values = reader.read()
    if reader.problems:
        raise RecipeError(_as_written(reader.problems, where), source)
    return Recipe(
        **values,
        warnings=tuple(reader.warnings),
        plugins=plugins,
        text=found.text,
        source=source,
        sources=found.sources,
        overrides=tuple(overrides),
        folder=folder,
    )


def overridden(recipe: Recipe, overrides: Sequence[str]) -> Recipe:
    """Return a recipe with more overrides after its own; RecipeError as of `read_recipe`."""
    every = [*recipe.overrides, *overrides]
    again = read_recipe(recipe.text, source=recipe.source, overrides=every, folder=recipe.folder)
    return replace(again, sources=recipe.sources)


def _as_written(problems: Iterable[Problem], where: Mapping[str, str]) -> list[Problem]:
    """Return the problems at the places where the user wrote what is wrong, each once."""
    return list(dict.fromkeys(Problem(written(p.where, where), p.message) for p in problems))


def _spec_as_written(spec: Spec, where: Mapping[str, str]) -> Spec:
    parts = {kind: _spec_as_written(part, where) for kind, part in spec.parts.items()}
    return replace(spec, where=written(spec.where, where), parts=parts)


class _Reader:
    """Collects the values of a recipe and the problems met on the way."""

    def __init__(self, tables: dict[str, Any], plugins: Plugins, places: Mapping[str, str]) -> None:
        self.tables = tables
        self.registry = plugins.registry
        self.places = places
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []

    def read(self) -> dict[str, Any]:
        self._check_keys(self.tables, ROOT_KEYS, "")
        if self.tables.get("schema") != 1:
            self._problem("schema", f"expected 1, got {self.tables.get('schema')!r}")
        own = {slot: self._specs(slot, self.tables.get(slot, []), slot) for slot in ARM_SLOTS}
        shared = Arm("", own["init"], own["posthoc"])
        arms = self._arms(shared)
        pretrain, evals = self._pretrain(), self._evals()
        self._check_needs(pretrain, [slot.spec for slot in evals])
        values = {
            "name": self._name(self.tables.get("name"), "name"),
            "summary": self._text("summary"),
            "seeds": self._seeds(),
            "baseline": self._baseline(arms),
            "backbone": self._spec("backbone", "backbone", self.tables.get("backbone")),
            "pretrain": pretrain,
            "evals": evals,
            "tracks": self._specs("track", self.tables.get("track", []), "track"),
            **{slot: self._settings(slot, cls) for slot, cls in SETTINGS.items()},
            "expected": self._expected(arms),
            "arms": arms,
            "shared": shared,
        }
        return values | {"tune": self._tune(values)}

    def _problem(self, where: str, message: str) -> None:
        self.problems.append(Problem(where, message))

    def _check_keys(self, table: dict[str, Any], known: Sequence[str], where: str) -> None:
        for key in table:
            if key not in known:
                guess = nearest(key, known)
                hint = f"did you mean '{guess}'?" if guess else f"known: {', '.join(known)}"
                self._problem(f"{where}.{key}" if where else key, f"unknown key; {hint}")

    def _text(self, key: str) -> str:
        value = self.tables.get(key, "")
        if not isinstance(value, str):
            self._problem(key, f"expected a string, got {value!r}")
        return str(value)

    def _name(self, value: Any, where: str) -> str:
        if not isinstance(value, str) or not _NAME.fullmatch(value):
            self._problem(
                where,
                "expected a name of letters, digits, '.', '_' and '-', at most 100, got "
                f"{shown(repr(value))}",
            )
        return str(value)

    def _seeds(self) -> tuple[int, ...]:
        seeds = self.tables.get("seeds", [0])
        whole = isinstance(seeds, list) and all(type(s) is int and s >= 0 for s in seeds)
        if not whole or not seeds or len(set(seeds)) != len(seeds):
            self._problem("seeds", f"expected an array of different integers >= 0, got {seeds!r}")
            return (0,)
        return tuple(seeds)

    def _spec(self, kind: str, where: str, table: Any) -> Spec | None:
        if table is None:
            self._problem(where, f"required: a table [{where}] with 'use'")
            return None
        if isinstance(table, dict) and "like" in table:
            self._problem(
                f"{where}.like", "a stage of an arm and a part may be like others: give a 'use'"
            )
            return None
        spec, problems = read_spec(self.registry, kind, table, where)
        self.problems += problems
        return _spec_as_written(spec, self.places) if spec else None

    def _specs(self, slot: str, tables: Any, where: str) -> tuple[Spec, ...]:
        if not isinstance(tables, list):
            self._problem(where, f"expected an array of tables, [[{where}]], got {tables!r}")
            return ()
        specs = [
            self._spec(LIST_SLOTS[slot], path, table)
            for path, table in zip(list_paths(where, tables), tables, strict=True)
        ]
        return tuple(spec for spec in specs if spec)

    def _pretrain(self) -> Spec | None:
        table = self.tables.get("pretrain")
        return None if table is None else self._spec("pretrainer", "pretrain", table)

    def _evals(self) -> tuple[EvalSlot, ...]:
        tables = self.tables.get("eval", [])
        if not isinstance(tables, list):
            self._problem("eval", f"expected an array of tables, [[eval]], got {tables!r}")
            return ()
        slots = []
        for where, table in zip(list_paths("eval", tables), tables, strict=True):
            own = (
                {k: v for k, v in table.items() if k != "every"}
                if isinstance(table, dict)
                else table
            )
            spec = self._spec("evaluator", where, own)
            every = table.get("every", "epoch") if isinstance(table, dict) else "epoch"
            if every not in ("epoch", "end") and not (type(every) is int and every > 0):
                self._problem(
                    f"{where}.every", f'expected "epoch", "end" or a number of steps, got {every!r}'
                )
            if spec:
                slots.append(EvalSlot(spec, every))
        return tuple(slots)

    def _check_needs(self, pretrain: Spec | None, evals: Iterable[Spec]) -> None:
        """Tell which evaluators need a part of the model that the pretraining leaves out, or does not make."""
        there = parts_left_by(pretrain)
        for spec in evals:
            needed = needed_by(spec)
            if needed is not None and needed not in there:
                why = f"{pretrain.entry.title} has none" if pretrain else "nothing is pretrained"
                self._problem(
                    f"{spec.where}.use",
                    f"{spec.entry.title} needs a {PART_TITLES[needed]}, and {why}. Evaluators of the image tower "
                    "work: knn, linear-probe, representation, two-afc, rsa",
                )

    def _settings(self, slot: str, cls: type[Any]) -> Any:
        """Return what a table without `use` says, its defaults when it cannot be read."""
        table = self.tables.get(slot, {})
        if not isinstance(table, dict):
            self._problem(slot, f"expected a table, [{slot}], got {table!r}")
            return cls()
        config, problems = read_config(cls, table, slot)
        self.problems += problems
        return config or cls()

    def _expected(self, arms: Sequence[Arm]) -> tuple[ExpectConfig, ...]:
        tables = self.tables.get("expect", [])
        if not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
            self._problem("expect", f"expected an array of tables, [[expect]], got {tables!r}")
            return ()
        found, names = [], [arm.name for arm in arms]
        for where, table in zip(list_paths("expect", tables), tables, strict=True):
            config, problems = read_config(ExpectConfig, table, where)
            self.problems += problems
            if config and config.arm not in names:
                self._problem(f"{where}.arm", unknown("no arm called", config.arm, names))
            found += [config] if config else []
        return tuple(found)

    def _tune(self, values: Mapping[str, Any]) -> Tuning | None:
        table = self.tables.get("tune")
        if table is None:
            return None
        if not isinstance(table, dict):
            self._problem("tune", f"expected a table, [tune], got {table!r}")
            return None
        reader = TuneReader(values["pretrain"], values["shared"].init)
        found = reader.read(table, lambda t: self._spec("evaluator", "tune.eval", t))
        self.problems += reader.problems
        if found:
            self._check_needs(values["pretrain"], [found.evaluator])
        if found and found.config.role is None:  # a trial has its own seed
            self.problems += seed_problems(found, values["seeds"], values["verdict"])
        return found

    def _arms(self, shared: Arm) -> tuple[Arm, ...]:
        tables = self.tables.get("arm", [{"name": "default"}])
        if not isinstance(tables, list) or not tables:
            self._problem("arm", f"expected an array of tables, [[arm]], got {tables!r}")
            return ()
        paths = list_paths("arm", tables)
        arms = [self._arm(p, table, shared) for p, table in zip(paths, tables, strict=True)]
        names = [arm.name for arm in arms]
        for name in sorted({n for n in names if names.count(n) > 1}):
            self._problem("arm", f"two arms are called '{name}'")
        return tuple(arms)

    def _arm(self, where: str, table: Any, shared: Arm) -> Arm:
        if not isinstance(table, dict):
            self._problem(where, f"expected a table, got {table!r}")
            return Arm("", (), ())
        for key in table:
            if key not in ARM_KEYS:
                self._problem(
                    f"{where}.{key}",
                    "an arm may replace init and posthoc only, so that arms share everything else",
                )
        own = {
            slot: self._own(slot, table[slot], where, shared) for slot in ARM_SLOTS if slot in table
        }
        name = self._name(table.get("name"), f"{where}.name")
        return replace(shared, name=name, summary=str(table.get("summary", "")), **own)

    def _own(self, slot: str, tables: Any, arm: str, shared: Arm) -> tuple[Spec, ...]:
        """Return an arm's own stages; warn of those that repeat a shared one without `like`."""
        specs = self._specs(slot, tables, f"{arm}.{slot}")
        if not isinstance(tables, list) or len(specs) < len(tables):
            return specs  # there are problems to tell
        for path, spec in zip(list_paths(f"{arm}.{slot}", tables), specs, strict=True):
            found = closest(spec, stages_by_name(shared))
            if found and self.places.get(f"{path}.use", "").endswith(f"{path}.use"):
                message = REPEATED.format(name=found[0], line=as_like(*found))
                self.warnings.append(Problem(written(path, self.places), message))
        return specs

    def _baseline(self, arms: Sequence[Arm]) -> str:
        names = [arm.name for arm in arms]
        baseline = self.tables.get("baseline", names[0] if names else "")
        if names and baseline not in names:
            self._problem("baseline", unknown("no arm called", str(baseline), names))
        return str(baseline)
