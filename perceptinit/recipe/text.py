"""Parse a recipe's text and resolve `like`, `take`, `without` and `through`.

* `like = "FILE"` at the top: inherit the tables of that recipe, which can inherit from another
* `take = ["random"]` next to this `like`: inherit these arms, which precede the recipe's own `[[arm]]` tables
* `like = "init"` in a stage: inherit the keys of the shared stage
* `like = "data.people"` in a part (judgments, pairs): inherit the keys of the table [data.people]
* `without = ["temperature"]` next to a `like`: do not inherit these keys
* `through = ["subset"]` in a part: wrap the part, the first wrapper innermost
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from perceptinit.components.building import DATA_PARTS
from perceptinit.errors import Problem, RecipeError, UsageError
from perceptinit.recipe.old_keys import find_old_keys
from perceptinit.recipe.shipped import find, read_text
from perceptinit.recipe.tables import (
    ARM_SLOTS,
    LocatedTable,
    list_items,
    locate,
    merge,
    parse_toml,
    remove_key,
    stage_names,
)
from perceptinit.registry import unknown

Files = Sequence[tuple[str, str]]  # path and text of a recipe and of its `like` ancestors
SHARED_SLOTS = ("backbone", "pretrain", "eval")


@dataclass(frozen=True, slots=True)
class Origin:
    """An experiment whose runs are reused for an arm of another recipe: name, recipe file and seeds."""

    name: str
    path: str
    seeds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RecipeText:
    """The tables of a recipe, merged into those of its `like` recipe.

    Attributes:
        tables: The tables, before overrides.
        files: Path and text of the recipe and of its `like` ancestors.
        base: The `like` recipe.
        taken: Names of the arms inherited from `base`.
    """

    tables: LocatedTable
    files: Files
    base: RecipeText | None = None
    taken: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The text of the file or, with `like`, self-contained TOML of the merged tables."""
        if not self.base:
            return self.files[0][1]
        import tomli_w

        child, parent = (Path(path).name for path, _ in self.files[:2])
        return f"# {child}, merged into {parent}\n{tomli_w.dumps(self.tables)}"

    @property
    def sources(self) -> tuple[tuple[str, str], ...]:
        """Path and text of the merged files; empty for a recipe without `like`."""
        return tuple(self.files) if self.base else ()

    def find_origins(self, tables: Mapping[str, Any]) -> dict[str, Origin]:
        """Return the experiment with which each inherited, unchanged arm shares its runs.

        Args:
            tables: Tables of this recipe after overrides. An arm is unchanged if its backbone, pretraining,
                evaluation and stages equal those in the recipe that defines the arm.
        """
        if self.base is None or not self.taken or tables.get("name") != self.tables.get("name"):
            return {}
        theirs = self.base.tables
        seeds = theirs.get("seeds", [0])
        known = tuple(seeds) if isinstance(seeds, list) else ()
        origin = Origin(str(theirs.get("name")), self.files[1][0], known)
        further = self.base.find_origins(theirs)
        before = settings_by_arm(theirs)
        now = settings_by_arm(tables)
        return {
            arm: further.get(arm, origin) for arm in self.taken if arm in now and now[arm] == before.get(arm)
        }


def read_recipe_text(text: str, source: str, folder: Path) -> RecipeText:
    """Return a recipe merged into its `like` ancestors, which are in `folder` or bundled.

    Raises:
        RecipeError: If a file is not TOML, or a `like` is circular or names a missing recipe.
    """
    files = [(source, text)]
    seen = set[Path]()
    while "like" in (tables := parse_toml(text, source)):
        name = tables["like"]
        problems = []
        if not isinstance(name, str):
            raise RecipeError([Problem("like", f"expected the path of a recipe, got {name!r}")], source)
        path = find(name, folder)
        try:
            text = read_text(path)
        except UsageError as error:
            problems += [Problem("like", str(error))]
        if path.resolve() in seen:
            problems += [Problem("like", f"{name} inherits from this recipe (circular). Remove one 'like'")]
        if "name" not in tables:
            problems += [Problem("name", "required: a recipe with 'like' needs its own name")]
        if problems:
            raise RecipeError(problems, source)
        seen.add(path.resolve())
        source = str(path)
        folder = path.parent
        files.append((source, text))
    return merge_files(files)


def merge_files(files: Files, at: str = "") -> RecipeText:
    """Merge the first file into its `like` ancestors. at: Prefix of the paths of its keys."""
    (source, text), *others = files
    own: LocatedTable = locate(parse_toml(text, source), at)
    if problems := find_old_keys(own, at):
        raise RecipeError(problems, source)
    if not others:
        if "take" in own:
            message = "requires 'like'. To define arms, write [[arm]] tables"
            raise RecipeError([Problem("take", message)], source)
        return RecipeText(own, files)
    name = str(own.get("like", ""))
    base = merge_files(others, f"{name}:")
    whole = merge(base.tables, own.without("like", "take"))
    plugins = whole.get("plugins")
    if "plugins" not in own and isinstance(plugins, list):  # relative to the recipe that lists them
        whole["plugins"] = [str(PurePath(name).parent / str(path)) for path in plugins]
    if "take" not in own:
        return RecipeText(whole, files, base)
    taken = _take_arms(base.tables, own, source)
    added = own.get("arm", [])
    whole["arm"] = [*taken, *added] if isinstance(added, list) else added
    return RecipeText(whole, files, base, tuple(own["take"]))


def _take_arms(base: LocatedTable, own: LocatedTable, source: str) -> list[LocatedTable]:
    """Return the arms of `base` that `own` lists. They keep the shared stages of `base`."""
    arms = {arm["name"]: arm for arm in _list_arms(base) if isinstance(arm.get("name"), str)}
    names = own["take"]
    where = own.path("take")
    like = own.get("like")
    if not _is_list_of_texts(names):
        raise RecipeError(
            [Problem(where, f"expected an array of arm names in {like}, got {names!r}")], source
        )
    resolver = _Resolver(base)
    taken = [arms[name] for name in names if name in arms]
    if any(slot in own for slot in ARM_SLOTS):
        stages = {slot: base.get(slot, []) for slot in ARM_SLOTS}
        taken = [resolver.take_stages(LocatedTable({**stages, **arm}, arm.at)) for arm in taken]
    missing = [Problem(where, unknown(f"{like} has no arm called", n, arms)) for n in names if n not in arms]
    if problems := [*missing, *resolver.problems]:
        raise RecipeError(problems, source)
    return taken


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _list_arms(tables: Mapping[str, Any]) -> list[LocatedTable]:
    """Return the tables of the arms, or one arm called default for a recipe without arms."""
    arms = tables.get("arm", locate([{"name": "default"}]))
    return [arm for arm in arms if isinstance(arm, LocatedTable)] if isinstance(arms, list) else []


def settings_by_arm(
    tables: Mapping[str, Any], slots: Sequence[str] = SHARED_SLOTS
) -> dict[str, dict[str, Any]]:
    """Return the resolved tables of each arm: the shared `slots`, and its stages."""
    resolved, _ = resolve(tables)
    shared = {slot: resolved.get(slot) for slot in slots}
    shared |= {slot: resolved.get(slot, []) for slot in ARM_SLOTS}
    return {
        str(arm.get("name")): shared | {slot: arm[slot] for slot in ARM_SLOTS if slot in arm}
        for arm in _list_arms(resolved)
    }


def resolve(tables: Mapping[str, Any]) -> tuple[LocatedTable, list[Problem]]:
    """Return the tables with `like`, `through` and `data` resolved, and the problems found."""
    resolver = _Resolver(tables)
    return resolver.resolve(), resolver.problems


class _Resolver:
    """Resolves `like` and `through` in a copy of a recipe's tables."""

    def __init__(self, tables: Mapping[str, Any]) -> None:
        self.tables = locate(tables)
        self.problems = list[Problem]()
        data = self.tables.pop("data", {})
        if not isinstance(data, dict):
            self.problems.append(Problem("data", f"expected tables, [data.NAME], got {data!r}"))
            data = {}
        self.data = {f"data.{name}": table for name, table in data.items()}
        self.shared = {
            name: stage
            for slot in ARM_SLOTS
            if isinstance(stages := self.tables.get(slot), list)
            for name, stage in zip(stage_names(slot, len(stages)), stages, strict=True)
        }

    def _report(self, table: LocatedTable, key: str, message: str) -> None:
        self.problems.append(Problem(table.path(key), message))

    def resolve(self) -> Any:
        arms = self.tables.get("arm")
        for owner in (self.tables, *(arms if isinstance(arms, list) else [])):
            if isinstance(owner, LocatedTable):
                self.take_stages(owner)
        return self._resolve_parts(self.tables)

    def take_stages(self, owner: LocatedTable) -> LocatedTable:
        """Resolve `like` in the stages of an arm or in the shared stages, and return the table."""
        for slot in ARM_SLOTS:
            if isinstance(owner.get(slot), list):
                owner[slot] = [self._take(t, self.shared, "shared stage") for t in owner[slot]]
        return owner

    def _take(self, table: Any, known: Mapping[str, Any], what: str, chain: tuple[str, ...] = ()) -> Any:
        """Return a table merged into its `like` table."""
        if not isinstance(table, LocatedTable) or "like" not in table:
            return table
        stated = str(table["like"])
        own = table.without("like")
        name = stated if stated in known else stated.removesuffix(".0")
        base = known.get(name)
        if not isinstance(base, LocatedTable):
            self._report(table, "like", unknown(f"no {what} called", stated, known))
        elif "use" in own:
            self._report(table, "use", f"cannot be combined with 'like' ({name}). Remove one of them")
        elif name in chain:
            circle = " is like ".join([*chain[chain.index(name) :], name])
            self._report(table, "like", f"{circle}. Replace one 'like' with a 'use'")
        else:
            base = self._take(base, known, what, (*chain, name))
            return merge(self._leave_out(base, own, name), own.without("without"))
        return own

    def _leave_out(self, base: LocatedTable, own: LocatedTable, name: str) -> LocatedTable:
        """Return the table called `name` without the keys that `own` lists in `without`."""
        paths = own.get("without", [])
        if not _is_list_of_texts(paths):
            self._report(own, "without", f"expected an array of keys of {name}, got {paths!r}")
            return base
        for path in paths:
            less = remove_key(base, path, own.path("without"))
            if less is None:
                self._report(own, "without", unknown(f"{name} has no key", path, base))
            else:
                base = less
        return base

    def _resolve_parts(self, value: Any) -> Any:
        """Return the value with `like` resolved and `through` nested in each part."""
        if not isinstance(value, LocatedTable):
            return [self._resolve_parts(v) for v in value] if isinstance(value, list) else value
        result = value.without()
        for key, item in value.items():
            part = self._take(item, self.data, "table") if key in DATA_PARTS else item
            result[key] = self._resolve_parts(part)
            if key in DATA_PARTS and isinstance(part, LocatedTable) and "through" in part:
                result[key] = self._nest(key, result[key])
        return result

    def _nest(self, kind: str, part: LocatedTable) -> LocatedTable:
        wrappers = part["through"]
        inner = part.without("through")
        if not isinstance(wrappers, list) or not all(isinstance(w, (str, LocatedTable)) for w in wrappers):
            self._report(part, "through", f"expected an array of {kind}, got {wrappers!r}")
            return inner
        for place, wrapper in list_items(part.path("through"), wrappers):
            own = {"use": wrapper} if isinstance(wrapper, str) else wrapper
            inner = LocatedTable({**own, kind: inner}, place)
        return inner
