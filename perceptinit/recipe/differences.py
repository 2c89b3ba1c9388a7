"""Differences between an arm's stages and the shared stages, in words and as TOML."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from typing import Any

from perceptinit.components.building import Spec
from perceptinit.configs import plain_value

Differences = dict[str, Any]  # TOML path in the stage -> the arm's value, None without one


def differences(base: Spec, own: Spec) -> Differences:
    """Return the settings that differ between two components with equal `use`, including those of parts."""
    found = {
        field.name: plain_value(getattr(own.config, field.name))
        for field in fields(own.config)
        if getattr(own.config, field.name) != getattr(base.config, field.name)
    }
    for kind in {**base.parts, **own.parts}:
        found |= _compare_parts(kind, base.parts.get(kind), own.parts.get(kind))
    return found


def _compare_parts(kind: str, base: Spec | None, own: Spec | None) -> Differences:
    if base is None or own is None:
        return {kind: own and shorten(own)} if base is not own else {}
    (base, through), (own, own_through) = _unwrap(kind, base), _unwrap(kind, own)
    if base.name != own.name:
        return {kind: shorten(own) | ({"through": own_through} if own_through else {})}
    found = {f"{kind}.{key}": value for key, value in differences(base, own).items()}
    return found if own_through == through else found | {f"{kind}.through": own_through}


def _unwrap(kind: str, spec: Spec) -> tuple[Spec, list[str | dict[str, Any]]]:
    """Return the innermost part and its wrappers, the innermost first."""
    wrappers: list[str | dict[str, Any]] = []
    while kind in spec.parts:
        table = shorten(spec, without=kind)
        wrappers.insert(0, spec.name if len(table) == 1 else table)
        spec = spec.parts[kind]
    return spec, wrappers


def shorten(spec: Spec, without: str = "") -> dict[str, Any]:
    """Return the table of a component, omitting keys set to their default values."""
    table: dict[str, Any] = {"use": spec.name}
    for field in fields(spec.config):
        default = field.default if field.default_factory is MISSING else field.default_factory()
        if (value := getattr(spec.config, field.name)) != default:
            table[field.name] = plain_value(value)
    return table | {name: shorten(part) for name, part in spec.parts.items() if name != without}


def find_closest(stage: Spec, shared: Mapping[str, Spec]) -> tuple[str, Differences] | None:
    """Return the shared stage with equal `use` and the fewest differences, and the differences."""
    found = [(name, differences(base, stage)) for name, base in shared.items() if base.name == stage.name]
    return min(found, key=lambda item: len(item[1]), default=None)


def stages_in_words(stages: Iterable[Spec], shared: Mapping[str, Spec]) -> str:
    """Return an arm's stages in words: `init, but epochs 190, judgments through shuffled-votes`."""
    words = []
    for stage in stages:
        name, changes = find_closest(stage, shared) or (_table_in_words(shorten(stage)), {})
        different = ", ".join(_key_in_words(key, value) for key, value in changes.items())
        words.append(f"{name}, but {different}" if different else name)
    return ", then ".join(words)


def _key_in_words(key: str, value: Any) -> str:
    part, _, last = key.rpartition(".")
    if last == "through":
        wrappers = [_table_in_words(w) if isinstance(w, dict) else w for w in value]
        return f"{part} {last} {' then '.join(wrappers) or 'nothing'}".strip()
    if isinstance(value, dict):
        value = _table_in_words(value)
    return f"{key} {'none' if value is None else value}"


def _table_in_words(table: Mapping[str, Any]) -> str:
    keys = ", ".join(_key_in_words(key, value) for key, value in table.items() if key != "use")
    return " ".join(filter(None, [str(table.get("use", "")), f"({keys})" if keys else ""]))


def write_like(name: str, changes: Differences) -> str:
    """Return the inline table of a stage that is like a shared one: `{ like = "init", epochs = 8 }`."""
    left_out = [key for key, value in changes.items() if value is None]
    stated = {key: value for key, value in changes.items() if value is not None}
    return write_toml({"like": name, **({"without": left_out} if left_out else {}), **stated})


def write_toml(value: Any) -> str:
    """Return a value as inline TOML."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {write_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return f"[{', '.join(map(write_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)
