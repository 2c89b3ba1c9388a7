"""The raw tables of a recipe before any component is known: TOML text, variables, overrides."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from perceptinit.errors import Problem, RecipeError, UsageError

_VARIABLE = re.compile(r"\$\{([A-Za-z_]\w*)(?::-([^}]*))?\}")


def parse_toml(text: str, source: str) -> dict[str, Any]:
    """Return the tables of a recipe's text; RecipeError with line and column when it is no TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError([Problem("", f"not valid TOML: {error}")], source) from error


def read_text(path: Path) -> str:
    """Return a recipe's text; UsageError when there is no such file."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        places = (path.parent, path.parent / "recipes")
        found = [str(p) for place in places for p in sorted(place.glob("*.toml"))]
        near = [name for name in found if Path(name).name != "pyproject.toml"]
        hint = f" Recipes there: {', '.join(near)}" if near else ""
        raise UsageError(f"{path}: no such recipe.{hint}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as a recipe ({error})") from error


def expand_variables(value: Any, where: str = "") -> tuple[Any, list[Problem]]:
    """Replace `${NAME}` and `${NAME:-default}` in every string by the environment's values."""
    if isinstance(value, Mapping):
        pairs = {k: expand_variables(v, f"{where}.{k}" if where else k) for k, v in value.items()}
        return {k: v for k, (v, _) in pairs.items()}, [p for _, ps in pairs.values() for p in ps]
    if isinstance(value, list):
        items = [expand_variables(v, item_path(where, i, len(value))) for i, v in enumerate(value)]
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


def item_path(where: str, index: int, length: int) -> str:
    """Return the path of a list item; a slot with one item goes by the slot's name alone."""
    return where if length == 1 else f"{where}[{index}]"


def apply_overrides(tables: dict[str, Any], overrides: Sequence[str]) -> list[Problem]:
    """Set `path=value` in place: `pretrain.epochs=1`, `init.lr=1e-4`, `arm.pi.init.epochs=8`.

    The value is read as TOML, and as a string when it is none. A list is entered by index
    (`init.0.lr`), an arm by its name, and a list of one item also without an index.
    """
    return [p for text in overrides for p in _override(tables, text)]


def _override(tables: dict[str, Any], text: str) -> list[Problem]:
    path, equals, value = text.partition("=")
    keys = [k for k in re.split(r"[.\[\]]+", path.strip()) if k]
    if not equals or not keys:
        return [Problem(f"--set {text}", "expected path=value, such as pretrain.epochs=1")]
    target: Any = tables
    for depth, key in enumerate(keys[:-1]):
        target = _enter(_enter_single(target, key), key)
        if not isinstance(target, (dict, list)):
            place = ".".join(keys[: depth + 1])
            return [Problem(f"--set {text}", f"the recipe has no table '{place}'")]
    target = _enter_single(target, keys[-1])
    if not isinstance(target, dict):
        return [Problem(f"--set {text}", f"'{'.'.join(keys[:-1])}' is a list: give an index")]
    target[keys[-1]] = _toml_value(value.strip())
    return []


def _enter_single(target: Any, key: str) -> Any:
    """Step into the only item of a list unless `key` picks one."""
    if isinstance(target, list) and len(target) == 1 and _enter(target, key) is None:
        return target[0]
    return target


def _enter(target: Any, key: str) -> Any:
    if isinstance(target, list):
        if key.isdigit():
            return target[int(key)] if int(key) < len(target) else None
        return next((t for t in target if isinstance(t, dict) and t.get("name") == key), None)
    return target.get(key) if isinstance(target, dict) else None


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
