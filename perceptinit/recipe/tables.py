"""TOML tables with the location of each key in the user's file: merging, overrides and variables."""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from perceptinit.errors import Problem, RecipeError, shown

ARM_SLOTS = ("init", "posthoc")  # the only slots that an arm may replace
MAX_DEPTH = 50  # of nested tables and arrays; recipes have about 6
MAX_PATH = 200
_NO_TOML = (
    "not valid TOML: {}. Check this line and the one before; texts need quotes. A recipe is a TOML file "
    "(perceptinit new recipe)"
)
UNSET = "the variable {0} is not set. Set it (export {0}=...), or give a default: ${{{0}:-...}}"
# strings and comments, in which dots do not separate keys; `tomllib` parses long keys in quadratic time
_QUOTED = re.compile(
    r"""(?s:\"{3}.*?(?:\"{3}|\Z)|'{3}.*?(?:'{3}|\Z))|"(?:\\.|[^"\\\n])*"?|'[^'\n]*'?|\#[^\n]*"""
)
_LONG_KEY = re.compile(rf"(?<![\w.-])(?:[\w-]++[ \t]*+\.[ \t]*+){{{MAX_DEPTH},}}")
_NEXT_KEY = re.compile(r",(?=[A-Za-z_][\w.\[\]]*=)")
_VARIABLE = re.compile(r"\$\{([A-Za-z_]\w*)(?::-([^}]*))?\}")


class LocatedTable(dict[str, Any]):
    """A table, with the TOML paths of the table and of its keys in the user's file.

    Attributes:
        at: Path of the table; empty for the recipe itself, `FILE:` for its `like` recipe.
        written: Paths of the keys that come from other tables.
    """

    def __init__(self, items: Mapping[str, Any], at: str, written: Mapping[str, str] | None = None) -> None:
        super().__init__(items)
        self.at = at
        self.written = dict(written or {})

    def path(self, key: str) -> str:
        """Return the TOML path of a key in the user's file."""
        between = "" if not self.at else " " if self.at.endswith(":") else "."
        return self.written.get(key) or f"{self.at}{between}{key}"

    def without(self, *keys: str) -> LocatedTable:
        """Return a copy without the keys."""
        return LocatedTable({k: v for k, v in self.items() if k not in keys}, self.at, self.written)


def locate(value: Any, at: str = "") -> Any:
    """Return a deep copy of a value with a `LocatedTable` for each table; existing ones keep their paths."""
    if isinstance(value, Mapping):
        table = value if isinstance(value, LocatedTable) else LocatedTable(value, at)
        return LocatedTable({k: locate(v, table.path(k)) for k, v in table.items()}, table.at, table.written)
    if isinstance(value, list):
        return [locate(item, path) for path, item in list_items(at, value)]
    return value


def list_items(where: str, items: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """Yield the path and value of each item. Arms are identified by name; a single item needs no index."""
    is_arms = where.rpartition(" ")[2] == "arm"
    for index, item in enumerate(items):
        name = item.get("name") if is_arms and isinstance(item, Mapping) else None
        if isinstance(name, str):
            yield f"{where}.{name}", item
        else:
            yield where if len(items) == 1 and not is_arms else f"{where}[{index}]", item


def places(value: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Yield the path of each table and key in resolved tables, and its path in the user's file."""
    if isinstance(value, LocatedTable):
        for key, item in value.items():
            path = f"{where}.{key}" if where else key
            yield path, item.at if isinstance(item, LocatedTable) else value.path(key)
            yield from places(item, path)
    elif isinstance(value, list):
        for path, item in list_items(where, value):
            if isinstance(item, LocatedTable):
                yield path, item.at
                yield from places(item, path)


def find_written(where: str, written_at: Mapping[str, str]) -> str:
    """Translate a path from resolved tables to the user's file. written_at: Pairs of `places`, as a dict."""
    known = [p for p in written_at if where == p or where.startswith((f"{p}.", f"{p}["))]
    longest = max(known, key=len, default="")
    return written_at.get(longest, "") + where[len(longest) :]


def merge(base: LocatedTable, change: LocatedTable) -> LocatedTable:
    """Return `base` updated with `change`. Nested tables are merged unless `change` has `use` or `like`."""
    home = base.at if change.keys() <= {"through"} else change.at
    result = LocatedTable(base, home, {key: base.path(key) for key in base})
    for key, new in change.items():
        old = base.get(key)
        if (
            isinstance(old, LocatedTable)
            and isinstance(new, LocatedTable)
            and not new.keys() & {"use", "like"}
        ):
            new = merge(old, new)
        result[key] = new
        result.written[key] = change.path(key)
    return result


def remove_key(base: LocatedTable, path: str, written_at: str) -> LocatedTable | None:
    """Return `base` without the key at a TOML path, or None if it has no such key.

    A part with `like` gets its own `without` instead, located at `written_at`.
    """
    key, _, rest = path.partition(".")
    if "like" in base and key not in base:
        less = {**base, "without": [*base.get("without", []), path]}
        return LocatedTable(less, base.at, base.written | {"without": written_at})
    if not rest:
        return base.without(key) if key in base else None
    inner = base.get(key)
    found = remove_key(inner, rest, written_at) if isinstance(inner, LocatedTable) else None
    return None if found is None else LocatedTable({**base, key: found}, base.at, base.written)


def parse_toml(text: str, source: str) -> dict[str, Any]:
    """Parse the text of a recipe.

    Raises:
        RecipeError: If the text is not TOML (with line and column), or has a value that no key accepts.
    """
    try:
        tables = _loads(text)
    except ValueError as error:
        raise RecipeError([Problem("", _NO_TOML.format(shown(error)))], source) from error
    problems = find_odd_values(tables)
    if problems:
        raise RecipeError(problems, source)
    return tables


def _loads(text: str) -> dict[str, Any]:
    """Parse a TOML text; ValueError if it is invalid."""
    if _LONG_KEY.search(_QUOTED.sub("s", text)):
        raise ValueError(f"a key with more than {MAX_DEPTH} parts")
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("brackets are nested too deeply") from error
    except tomllib.TOMLDecodeError:
        raise
    except ValueError as error:  # Python does not parse integers with thousands of digits
        raise ValueError("an integer with thousands of digits") from error


def find_odd_values(value: Any, where: str = "", depth: int = 0) -> list[Problem]:
    """Return the values that no key accepts: NaN, infinity, integers beyond 64 bits, deep nesting."""
    if depth > MAX_DEPTH:
        return [Problem(where[:MAX_PATH], f"more than {MAX_DEPTH} nested tables and arrays")]
    if isinstance(value, Mapping):
        items = [(f"{where}.{key}" if where else key, item) for key, item in value.items()]
    elif isinstance(value, list):
        items = list(list_items(where, value))
    elif isinstance(value, float) and not math.isfinite(value):
        return [Problem(where, f"{value} is not a finite number")]
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        return [Problem(where, "an integer beyond 64 bits")]
    else:
        return []
    return [p for path, item in items for p in find_odd_values(item, path, depth + 1)]


def split_keys(text: str) -> tuple[str, list[str]]:
    """Return the name and the overrides of `NAME,KEY=VALUE,...`; other commas are part of name or value."""
    name, *keys = _NEXT_KEY.split(text)
    return name, keys


def apply_overrides(tables: dict[str, Any], overrides: Sequence[str], where: str = "--set ") -> list[Problem]:
    """Set `path=value` in place: `pretrain.epochs=1`, `init.lr=1e-4`, `arm.pi.init.epochs=8`.

    A value that is not TOML is a string. A path selects an item by index (`init.0.lr`) and an arm by name;
    the index of a single item is optional. An arm that shares stages gets its own stages, which are `like`
    the shared ones. Problems begin with `where`.
    """
    return [p for text in overrides for p in _override(tables, text, where)]


def _override(tables: dict[str, Any], text: str, where: str) -> list[Problem]:
    path, equals, value = text.partition("=")
    keys = [k for k in re.split(r"[.\[\]]+", path.strip()) if k]
    if not equals or not keys:
        return [Problem(f"{where}{text}", "expected path=value, such as pretrain.epochs=1")]
    target: Any = tables
    inherits = False
    for depth, key in enumerate(keys[:-1]):
        target = _enter_single(target, key)
        inherits |= isinstance(target, dict) and "like" in target
        _write_inherited(tables, target, key, inherits)
        target = _enter(target, key)
        if not isinstance(target, (dict, list)):
            place = ".".join(keys[: depth + 1])
            return [Problem(f"{where}{text}", f"the recipe has no table '{place}'")]
    target = _enter_single(target, keys[-1])
    if not isinstance(target, dict):
        return [Problem(f"{where}{text}", f"'{'.'.join(keys[:-1])}' is a list. Add an index")]
    try:
        target[keys[-1]] = _loads(f"value = {value.strip()}")["value"]
    except ValueError:
        target[keys[-1]] = value.strip()
    return find_odd_values(target[keys[-1]], f"{where}{path}")


def _write_inherited(tables: dict[str, Any], target: Any, key: str, inherits: bool) -> None:
    """Add the table at `key` to `target` if the table is inherited through `like`."""
    if not isinstance(target, dict):
        return
    shared = tables.get(key)
    arms = tables.get("arm")
    if key in target:
        if key == "through" and isinstance(target[key], list):
            target[key] = [{"use": w} if isinstance(w, str) else w for w in target[key]]
    elif key in ARM_SLOTS and isinstance(shared, list) and isinstance(arms, list) and target in arms:
        target[key] = [{"like": name} for name in stage_names(key, len(shared))]
    elif inherits:
        target[key] = {}


def stage_names(slot: str, num_stages: int) -> list[str]:
    """Return the names of a slot's shared stages for `like`: `init`, or `init.0`, `init.1` for several."""
    return [slot] if num_stages == 1 else [f"{slot}.{i}" for i in range(num_stages)]


def _enter_single(target: Any, key: str) -> Any:
    """Replace a single-item list by its item, unless `key` selects an item in the list."""
    if isinstance(target, list) and len(target) == 1 and _enter(target, key) is None:
        return target[0]
    return target


def _enter(target: Any, key: str) -> Any:
    if isinstance(target, list):
        if re.fullmatch(r"[0-9]{1,6}", key):
            return target[int(key)] if int(key) < len(target) else None
        return next((t for t in target if isinstance(t, dict) and t.get("name") == key), None)
    return target.get(key) if isinstance(target, dict) else None


def expand_variables(value: Any) -> tuple[Any, list[Problem]]:
    """Return a value with `${NAME}` and `${NAME:-default}` replaced, and a problem per unset variable."""
    problems: list[Problem] = []

    def expand(value: Any, where: str) -> Any:
        if isinstance(value, Mapping):
            return {k: expand(v, f"{where}.{k}" if where else k) for k, v in value.items()}
        if isinstance(value, list):
            return [expand(item, path) for path, item in list_items(where, value)]
        if not isinstance(value, str):
            return value
        for name, default in _VARIABLE.findall(value):
            if name not in os.environ and not default:
                problems.append(Problem(where, UNSET.format(name)))
        return _VARIABLE.sub(lambda found: os.environ.get(found[1], found[2] or ""), value)

    return expand(value, ""), problems
