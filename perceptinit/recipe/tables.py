"""The raw tables of a recipe before any component is known: TOML text, variables, overrides."""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from perceptinit.errors import Problem, RecipeError, UsageError, shown
from perceptinit.recipe.places import list_paths
from perceptinit.recipe.shipped import shipped
from perceptinit.registry import nearest

ARM_SLOTS = ("init", "posthoc")  # all that an arm may have of its own
MAX_BYTES = 16 << 20  # of a recipe
MAX_DEPTH = 50  # of tables and arrays in each other; real recipes have about 6
MAX_PATH = 200
_VARIABLE = re.compile(r"\$\{([A-Za-z_]\w*)(?::-([^}]*))?\}")


def parse_toml(text: str, source: str) -> dict[str, Any]:
    """Return the tables of a recipe's text.

    Raises RecipeError with line and column when it is no TOML, and with every value that no key can
    have: see `odd_values`.
    """
    try:
        tables = _loads(text)
    except ValueError as error:
        raise RecipeError([Problem("", f"not valid TOML: {shown(error)}")], source) from error
    problems = odd_values(tables)
    if problems:
        raise RecipeError(problems, source)
    return tables


def _loads(text: str) -> dict[str, Any]:
    """Return the tables of a TOML text; ValueError when it is none."""
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("brackets are nested too deeply") from error
    except tomllib.TOMLDecodeError:
        raise
    except ValueError as error:  # Python reads no integers of thousands of digits
        raise ValueError("an integer of thousands of digits") from error


def odd_values(value: Any, where: str = "", depth: int = 0) -> list[Problem]:
    """Return what no key of a recipe can hold: NaN, infinity, integers beyond 64 bit, deep nesting."""
    if depth > MAX_DEPTH:
        return [Problem(where[:MAX_PATH], f"more than {MAX_DEPTH} tables and arrays in each other")]
    if isinstance(value, Mapping):
        items = [(f"{where}.{key}" if where else key, item) for key, item in value.items()]
    elif isinstance(value, list):
        items = list(zip(list_paths(where, value), value, strict=True))
    elif isinstance(value, float) and not math.isfinite(value):
        return [Problem(where, f"{value} is not a finite number")]
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        return [Problem(where, "an integer beyond 64 bit")]
    else:
        return []
    return [p for path, item in items for p in odd_values(item, path, depth + 1)]


def read_text(path: Path) -> str:
    """Return a recipe's text; UsageError when there is no such file, or one too large to be a recipe."""
    try:
        with path.open("rb") as file:  # may be a pipe: <(...)
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise UsageError(f"{path}: larger than {MAX_BYTES >> 20} MB, no recipe")
        return data.decode("utf-8")
    except FileNotFoundError:
        places = (path.parent, path.parent / "recipes")
        found = [str(p) for place in places for p in sorted(place.glob("*.toml"))]
        near = [name for name in found if Path(name).name != "pyproject.toml"]
        hint = f" Recipes there: {', '.join(near)}" if near else ""
        guess = nearest(path.stem, shipped())
        if guess:
            hint = f" Did you mean '{guess}', which comes with perceptinit?"
        raise UsageError(f"{path}: no such recipe.{hint}") from None
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or NUL in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{shown(path)}: cannot be read as a recipe ({reason})") from error


def expand_variables(value: Any, where: str = "") -> tuple[Any, list[Problem]]:
    """Replace `${NAME}` and `${NAME:-default}` in every string by the environment's values."""
    if isinstance(value, Mapping):
        pairs = {k: expand_variables(v, f"{where}.{k}" if where else k) for k, v in value.items()}
        return {k: v for k, (v, _) in pairs.items()}, [p for _, ps in pairs.values() for p in ps]
    if isinstance(value, list):
        paths = list_paths(where, value)
        items = [expand_variables(v, path) for path, v in zip(paths, value, strict=True)]
        return [v for v, _ in items], [p for _, ps in items for p in ps]
    if not isinstance(value, str):
        return value, []
    unset = [n for n, default in _VARIABLE.findall(value) if n not in os.environ and not default]
    problems = [
        Problem(
            where,
            f"the variable {n} is not set. Set it (export {n}=...), or give a default: ${{{n}:-...}}",
        )
        for n in unset
    ]
    return _VARIABLE.sub(lambda m: os.environ.get(m[1], m[2] or ""), value), problems


def apply_overrides(tables: dict[str, Any], overrides: Sequence[str]) -> list[Problem]:
    """Set `path=value` in place: `pretrain.epochs=1`, `init.lr=1e-4`, `arm.pi.init.epochs=8`.

    The value is read as TOML, and as a string when it is none. A list is entered by index
    (`init.0.lr`), an arm by its name, and a list of one item also without an index. An arm that
    shares the stages gets its own, `like` them.
    """
    return [p for text in overrides for p in _override(tables, text)]


def _override(tables: dict[str, Any], text: str) -> list[Problem]:
    path, equals, value = text.partition("=")
    keys = [k for k in re.split(r"[.\[\]]+", path.strip()) if k]
    if not equals or not keys:
        return [Problem(f"--set {text}", "expected path=value, such as pretrain.epochs=1")]
    target: Any = tables
    inherits = False
    for depth, key in enumerate(keys[:-1]):
        target = _enter_single(target, key)
        is_table = isinstance(target, dict)
        if is_table and "through" in target and depth and key == keys[depth - 1]:
            new = ".".join([*keys[:depth], *_through_path(target, keys[depth:])])
            message = f"`through` stands in the place of nested tables: --set {new}={value}"
            return [Problem(f"--set {text}", message)]
        inherits |= is_table and "like" in target
        _write_inherited(tables, target, key, inherits)
        target = _enter(target, key)
        if not isinstance(target, (dict, list)):
            place = ".".join(keys[: depth + 1])
            return [Problem(f"--set {text}", f"the recipe has no table '{place}'")]
    target = _enter_single(target, keys[-1])
    if not isinstance(target, dict):
        return [Problem(f"--set {text}", f"'{'.'.join(keys[:-1])}' is a list: give an index")]
    target[keys[-1]] = _toml_value(value.strip())
    return odd_values(target[keys[-1]], f"--set {path}")


def _write_inherited(tables: dict[str, Any], target: Any, key: str, inherits: bool) -> None:
    """Write what a path is about to enter and the file left to `like`: stages, tables, wrappers' tables."""
    if not isinstance(target, dict):
        return
    shared = tables.get(key)
    if key == "through" and isinstance(target.get(key), list):
        target[key] = [{"use": w} if isinstance(w, str) else w for w in target[key]]
    elif key in target:
        return
    elif key in ARM_SLOTS and isinstance(shared, list) and _is_arm(tables, target):
        names = [key] if len(shared) == 1 else [f"{key}.{i}" for i in range(len(shared))]
        target[key] = [{"like": name} for name in names]
    elif inherits:
        target[key] = {}


def _is_arm(tables: Mapping[str, Any], table: Any) -> bool:
    arms = tables.get("arm")
    return isinstance(arms, list) and any(table is arm for arm in arms)


def _through_path(part: Mapping[str, Any], keys: Sequence[str]) -> list[str]:
    """Return the path, from the part on, of what was `judgments.judgments...` while wrappers were nested."""
    num_entered = next((i for i, key in enumerate(keys) if key != keys[0]), len(keys))
    index = len(part["through"]) - 1 - num_entered
    rest = list(keys[num_entered:])
    return ["through", str(index), *rest] if index >= 0 else rest


def _enter_single(target: Any, key: str) -> Any:
    """Step into the only item of a list unless `key` picks one."""
    if isinstance(target, list) and len(target) == 1 and _enter(target, key) is None:
        return target[0]
    return target


def _enter(target: Any, key: str) -> Any:
    if isinstance(target, list):
        if re.fullmatch(r"[0-9]{1,6}", key):
            return target[int(key)] if int(key) < len(target) else None
        return next((t for t in target if isinstance(t, dict) and t.get("name") == key), None)
    return target.get(key) if isinstance(target, dict) else None


def _toml_value(text: str) -> Any:
    try:
        return _loads(f"value = {text}")["value"]
    except ValueError:
        return text
