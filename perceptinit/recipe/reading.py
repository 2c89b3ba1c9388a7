"""Read and check a recipe, and report all problems in it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

from perceptinit.components.building import PART_TITLES, Spec, find_model_parts, find_needed_part, read_spec
from perceptinit.components.plugin_manager import Plugins, build_plugin_manager
from perceptinit.configs import read_config
from perceptinit.errors import Problem, RecipeError, shown
from perceptinit.recipe.differences import find_closest, write_like
from perceptinit.recipe.old_keys import find_old_overrides
from perceptinit.recipe.recipe import Arm, EvalSlot, Recipe, RecipeTable, stages_by_name
from perceptinit.recipe.settings import (
    CheckpointConfig,
    ExpectConfig,
    JobsConfig,
    VerdictConfig,
)
from perceptinit.recipe.shipped import find, read_text
from perceptinit.recipe.tables import (
    ARM_SLOTS,
    apply_overrides,
    expand_variables,
    find_written,
    list_items,
    locate,
    places,
)
from perceptinit.recipe.text import Files, read_recipe_text, resolve
from perceptinit.recipe.tuning import Tuning, read_tuning, seed_problems
from perceptinit.registry import unknown

ROOT_KEYS = ("like", "take", "data", *(field.name for field in fields(RecipeTable)))
ARM_KEYS = ("name", "summary", *ARM_SLOTS)
LIST_SLOTS = {"init": "initializer", "posthoc": "initializer", "track": "tracker"}
ARRAYS = (*LIST_SLOTS, "eval", "expect", "arm")
SETTINGS = {
    "checkpoint": CheckpointConfig,
    "jobs": JobsConfig,
    "verdict": VerdictConfig,
}
MERGED_BEFORE = "cannot be overridden, because recipes are merged first. Set it in the file"
OTHER_KEY = "an arm can replace init and posthoc only, so that arms share all other settings"
REPEATED = (
    "copies the shared stage, so overrides of that stage (--set {name}.KEY=VALUE) do not apply to this arm. "
    "Write instead: {line}"
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # also the name of a folder
T = TypeVar("T")


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read and check the recipe in a file, or the bundled recipe with that name.

    Args:
        path: Path of the file, or name of a bundled recipe.
        overrides: `path=value` strings, as in `--set`.

    Raises:
        RecipeError: With every problem in the recipe.
        UsageError: If the file does not exist.
    """
    path = find(path)
    return read_recipe(read_text(path), source=str(path), overrides=overrides, folder=path.parent)


def read_recipe(
    text: str,
    *,
    source: str = "recipe",
    overrides: Sequence[str] = (),
    folder: Path = Path(),
    sources: Files = (),
) -> Recipe:
    """Read and check the text of a recipe.

    Args:
        text: The TOML text.
        source: Path of the file, for messages and records.
        overrides: `path=value` strings, as in `--set`.
        folder: Folder to which `like` and local `plugins` are relative.
        sources: Path and text of each file that was merged into `text`.

    Raises:
        RecipeError: With every problem in the recipe.
    """
    found = read_recipe_text(text, source, folder)
    # the settings have defaults, so --set can set any of their keys
    stated = locate({**{slot: {} for slot in SETTINGS}, **found.tables})
    problems = find_old_overrides(overrides) or apply_overrides(stated, overrides)
    problems += [Problem(f"--set {key}", MERGED_BEFORE) for key in ("like", "take") if key in stated]
    resolved, wrong = resolve(stated)
    where = dict(places(resolved))
    tables, unset = expand_variables(resolved)
    problems += [*wrong, *_move_to_text(unset, where)]
    if problems:
        raise RecipeError(dict.fromkeys(problems), source)
    _, wrong = read_config(RecipeTable, tables, "")
    problems = [
        replace(p, message=p.message.replace("an array in brackets", f"an array of tables, [[{p.where}]]", 1))
        if p.where in ARRAYS
        else p
        for p in wrong
    ]
    wrong_keys = {re.split(r"[.\[]", problem.where, maxsplit=1)[0] for problem in problems}
    sound = {key: value for key, value in tables.items() if key not in wrong_keys}
    plugins = build_plugin_manager([folder / path for path in sound.get("plugins", [])])
    reader = _Reader(sound, plugins, where, problems, folder)
    values = reader.read()
    if problems:
        raise RecipeError(_move_to_text(problems, where), source)
    return Recipe(
        **values,
        warnings=tuple(reader.warnings),
        plugins=plugins,
        text=found.text,
        source=source,
        sources=found.sources or tuple((path, own) for path, own in sources),
        overrides=tuple(overrides),
        folder=folder,
        origins=found.find_origins(stated),
    )


def override_recipe(recipe: Recipe, overrides: Sequence[str]) -> Recipe:
    """Return a recipe with further overrides. Raises the errors of `read_recipe`."""
    return read_recipe(
        recipe.text,
        source=recipe.source,
        overrides=[*recipe.overrides, *overrides],
        folder=recipe.folder,
        sources=recipe.sources,
    )


def _move_to_text(problems: Iterable[Problem], where: Mapping[str, str]) -> list[Problem]:
    """Return the distinct problems, located where the user wrote the keys."""
    return list(dict.fromkeys(replace(p, where=find_written(p.where, where)) for p in problems))


def _move_spec_to_text(spec: Spec, where: Mapping[str, str], folder: Path) -> Spec:
    parts = {kind: _move_spec_to_text(part, where, folder) for kind, part in spec.parts.items()}
    return replace(spec, where=find_written(spec.where, where), parts=parts, folder=folder)


class _Reader:
    """Reads the tables of a recipe whose keys have valid types, and collects problems."""

    def __init__(
        self,
        tables: dict[str, Any],
        plugins: Plugins,
        written_at: Mapping[str, str],
        problems: list[Problem],
        folder: Path,
    ) -> None:
        self.folder = folder
        self.tables = tables
        self.registry = plugins.registry
        self.written_at = written_at
        self.problems = problems
        self.warnings = list[Problem]()
        self.wrong = {problem.where for problem in problems}

    def read(self) -> dict[str, Any]:
        own = {slot: self._read_slot(slot, self.tables.get(slot, []), slot) for slot in ARM_SLOTS}
        shared = Arm("", own["init"], own["posthoc"])
        arms = self._read_arms(shared)
        names = [arm.name for arm in arms]
        pretrain = self._read_one("pretrainer", "pretrain")
        evals = self._read_evals()
        self._check_needs(pretrain, [slot.spec for slot in evals])
        values = {
            "name": self._check_name(self.tables.get("name"), "name"),
            "summary": self.tables.get("summary", ""),
            "seeds": self._check_seeds(tuple(self.tables.get("seeds", [0]))),
            "baseline": self._check_baseline(names),
            "backbone": self._read_one("backbone", "backbone"),
            "pretrain": pretrain,
            "evals": evals,
            "tracks": self._read_slot("track", self.tables.get("track", []), "track"),
            **{
                slot: self._keep(read_config(cls, self.tables.get(slot, {}), slot)) or cls()
                for slot, cls in SETTINGS.items()
            },
            "expected": self._read_expected(names),
            "arms": arms,
            "shared": shared,
        }
        return values | {"tune": self._read_tune(values)}

    def _report(self, where: str, message: str) -> None:
        self.problems.append(Problem(where, message))

    def _keep(self, result: tuple[T | None, Iterable[Problem]]) -> T | None:
        """Collect the problems in `result`, and return its value."""
        value, problems = result
        self.problems += problems
        return value

    def _check_name(self, value: Any, where: str) -> str:
        if where not in self.wrong and not (isinstance(value, str) and _NAME.fullmatch(value)):
            rule = "expected a name of at most 100 letters, digits, '.', '_' and '-'"
            self._report(where, f"{rule}, got {shown(repr(value))}")
        return str(value)

    def _check_seeds(self, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if not seeds or len(set(seeds)) != len(seeds):
            self._report("seeds", f"expected an array of distinct integers >= 0, got {list(seeds)!r}")
        return seeds or (0,)

    def _check_baseline(self, arms: Sequence[str]) -> str:
        baseline = self.tables.get("baseline", arms[0] if arms else "")
        if arms and baseline not in arms:
            self._report("baseline", unknown("no arm called", str(baseline), arms))
        return str(baseline)

    def _read_one(self, kind: str, slot: str) -> Spec | None:
        return self._read_spec(kind, slot, self.tables[slot]) if slot in self.tables else None

    def _read_spec(self, kind: str, where: str, table: Any) -> Spec | None:
        if isinstance(table, Mapping) and "like" in table:
            self._report(f"{where}.like", "only init, posthoc and parts support 'like'. Write 'use'")
            return None
        spec = self._keep(read_spec(self.registry, kind, table, where))
        return _move_spec_to_text(spec, self.written_at, self.folder) if spec else None

    def _read_slot(self, slot: str, tables: Any, where: str) -> tuple[Spec, ...]:
        if not isinstance(tables, list):
            self._report(where, f"expected an array of tables, [[{where}]], got {tables!r}")
            return ()
        kind = LIST_SLOTS[slot]
        specs = [self._read_spec(kind, path, table) for path, table in list_items(where, tables)]
        return tuple(spec for spec in specs if spec)

    def _read_evals(self) -> tuple[EvalSlot, ...]:
        slots: list[EvalSlot] = []
        for where, table in list_items("eval", self.tables.get("eval", [])):
            own = {key: value for key, value in table.items() if key != "every"}
            spec = self._read_spec("evaluator", where, own)
            every = table.get("every", "epoch")
            if every not in ("epoch", "end") and not (type(every) is int and every > 0):
                self._report(f"{where}.every", f'expected "epoch", "end" or a number of steps, got {every!r}')
            slots += [EvalSlot(spec, every)] if spec else []
        return tuple(slots)

    def _check_needs(self, pretrain: Spec | None, evals: Iterable[Spec]) -> None:
        """Report evaluators whose model part (text tower, classifier) is missing after pretraining."""
        if pretrain is None and "pretrain" in self.tables:
            return  # its own problems are reported
        parts = find_model_parts(pretrain)
        for spec in evals:
            needed = find_needed_part(spec)
            if needed is not None and needed not in parts:
                why = f"{pretrain.entry.title} has none" if pretrain else "nothing is pretrained"
                self._report(
                    f"{spec.where}.use",
                    f"{spec.entry.title} needs a {PART_TITLES[needed]}, but {why}. Use an evaluator of the "
                    "image tower, such as knn, two-afc or rsa",
                )

    def _read_expected(self, arms: Sequence[str]) -> tuple[ExpectConfig, ...]:
        found: list[ExpectConfig] = []
        for where, table in list_items("expect", self.tables.get("expect", [])):
            config = self._keep(read_config(ExpectConfig, table, where))
            if config and config.arm not in arms:
                self._report(f"{where}.arm", unknown("no arm called", config.arm, arms))
            found += [config] if config else []
        return tuple(found)

    def _read_tune(self, values: Mapping[str, Any]) -> Tuning | None:
        if "tune" not in self.tables:
            return None
        table = self.tables["tune"]
        pretrain = values["pretrain"]
        evaluator = self._read_spec("evaluator", "tune.eval", table["eval"]) if "eval" in table else None
        found = self._keep(read_tuning(table, evaluator, pretrain, values["shared"].init))
        if found:
            self._check_needs(pretrain, [found.evaluator])
            if found.config.role is None:  # a trial has its own seed
                self.problems += seed_problems(found, values["seeds"], values["verdict"])
        return found

    def _read_arms(self, shared: Arm) -> tuple[Arm, ...]:
        tables = self.tables.get("arm", [{"name": "default"}])
        if not tables:
            self._report("arm", "expected at least one table [[arm]]")
        arms = [self._read_arm(path, own, shared) for path, own in list_items("arm", tables)]
        names = [arm.name for arm in arms]
        for name in sorted({n for n in names if names.count(n) > 1}):
            self._report("arm", f"two arms are called '{name}'")
        return tuple(arms)

    def _read_arm(self, where: str, table: dict[str, Any], shared: Arm) -> Arm:
        for key in table:
            if key not in ARM_KEYS:
                self._report(f"{where}.{key}", OTHER_KEY)
        own = {slot: self._read_own(slot, table[slot], where, shared) for slot in ARM_SLOTS if slot in table}
        name = self._check_name(table.get("name"), f"{where}.name")
        return replace(shared, name=name, summary=str(table.get("summary", "")), **own)

    def _read_own(self, slot: str, tables: Any, arm: str, shared: Arm) -> tuple[Spec, ...]:
        """Return an arm's own stages, and warn about copies of a shared stage without `like`."""
        specs = self._read_slot(slot, tables, f"{arm}.{slot}")
        if not isinstance(tables, list) or len(specs) < len(tables):
            return specs  # problems of invalid stages are already reported
        for path, spec in list_items(f"{arm}.{slot}", specs):
            found = find_closest(spec, stages_by_name(shared))
            if found and self.written_at.get(f"{path}.use", "").endswith(f"{path}.use"):
                message = REPEATED.format(name=found[0], line=write_like(*found))
                self.warnings.append(Problem(find_written(path, self.written_at), message))
        return specs
