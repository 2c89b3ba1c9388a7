"""Keys of recipes of earlier versions: refused in new recipes, read in records, plans and frozen recipes."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from perceptinit.errors import Problem
from perceptinit.recipe.tables import parse_toml

# keys of earlier versions, and their names today; without a name, the key has gone
RENAMED = {
    "arms": "take",
    "launch": "jobs",
    "slurm": "jobs",
    "tune.studies": "tune.searches",
    "verdict.published_effect": "",
    "verdict.source": "",
}


def find_old_keys(tables: Mapping[str, Any], at: str = "") -> list[Problem]:
    """Return a problem for each key of an earlier version, with its name today. at: Prefix of the keys."""
    return [Problem(at + old, _explain(old)) for old in RENAMED if _holds(tables, old)]


def _holds(tables: Mapping[str, Any], path: str) -> bool:
    table, _, key = path.rpartition(".")
    inner = tables.get(table) if table else tables
    return isinstance(inner, Mapping) and key in inner


def restore_text(text: str, source: str) -> str:
    """Return the text of a recipe in a record, plan or frozen recipe with the keys of today."""
    tables = parse_toml(text, source)
    if not find_old_keys(tables):
        return text
    import tomli_w

    return tomli_w.dumps(restore_keys(tables))


def restore_keys(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tables of a recipe with the keys of today."""
    found = deepcopy(dict(tables))
    for old, new in RENAMED.items():
        if not _holds(found, old):
            continue
        table, _, key = old.rpartition(".")
        value = (found[table] if table else found).pop(key)
        table, _, key = new.rpartition(".")
        into = found[table] if table else found
        if key:
            into[key] = {**into.get(key, {}), **value} if isinstance(value, dict) else value
    return found


def restore_plan(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return a plan with the keys of today in `tune`, the part that has the keys of a recipe."""
    return {**plan, **restore_keys({"tune": plan["tune"]})} if "tune" in plan else dict(plan)


def restore_overrides(overrides: Sequence[str]) -> tuple[str, ...]:
    """Return the overrides in a record or frozen recipe with the keys of today."""
    kept = []
    for override in overrides:
        old = _find_old_key(override)
        if not old:
            kept.append(override)
        elif RENAMED[old]:
            kept.append(RENAMED[old] + override.strip().removeprefix(old))
    return tuple(kept)


def find_old_overrides(overrides: Sequence[str]) -> list[Problem]:
    """Return a problem for each override of a key of an earlier version."""
    found = [(override, _find_old_key(override)) for override in overrides]
    return [Problem(f"--set {override}", _explain(old)) for override, old in found if old]


def _find_old_key(override: str) -> str:
    path = override.partition("=")[0].strip()
    return next((old for old in RENAMED if path == old or path.startswith(f"{old}.")), "")


def _explain(old: str) -> str:
    new = RENAMED[old]
    return f"renamed. Write '{new}' instead of '{old}'" if new else "removed. State it in a comment"
