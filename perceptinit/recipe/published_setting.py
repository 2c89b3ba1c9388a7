"""In what runs leave the setting whose published score a recipe expects: by `like`, or by overrides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from perceptinit.recipe.likes import resolve
from perceptinit.recipe.tables import apply_overrides, parse_toml

Changes = Mapping[str, tuple[str, ...]]  # of each arm, as sentences
Sources = Sequence[tuple[str, str]]  # path and text of a recipe, and of the one that it is like

# where data lie, what becomes of unreadable ones, and how the same numbers are computed
NEUTRAL = {
    "root", "shards", "path", "images", "image_members", "text_member", "text_key", "max_bad_share",
    "max_incomplete_share", "on_non_finite", "num_workers", "micro_batch", "compile", "grad_checkpointing",
    "sharding", "fused", "cache_gib", "image_store",
}  # fmt: skip


def changes(text: str, source: str, overrides: Sequence[str], sources: Sources = ()) -> Changes:
    """Return what of each arm's backbone, stages and pretraining is not as the recipe with `[[expect]]` says.

    text: of the recipe, merged when it is like another one. The setting is that of the other one where the
    recipe expects nothing of its own.
    """
    used = parse_toml(text, source)
    if "expect" not in used:
        return {}
    own, *base = [parse_toml(text, path) for path, text in sources] or [{}]
    stated = base[0] if base and "expect" not in own else parse_toml(text, source)
    used.setdefault("verdict", {})
    apply_overrides(used, overrides)
    before, after = _settings(stated), _settings(used)
    return {arm: tuple(_differences(before.get(arm, {}), now)) for arm, now in after.items()}


def _settings(tables: Any) -> dict[str, dict[str, Any]]:
    """Return the setting of each arm as path -> value."""
    resolved, _ = resolve(tables)
    shared = {slot: resolved.get(slot) for slot in ("backbone", "pretrain", "init", "posthoc")}
    arms = resolved.get("arm", [{"name": "default"}])
    return {
        str(arm.get("name")): dict(_flat({**shared, **_own(arm)}, ""))
        for arm in arms
        if isinstance(arm, Mapping)
    }


def _own(arm: Mapping[str, Any]) -> dict[str, Any]:
    return {slot: arm[slot] for slot in ("init", "posthoc") if slot in arm}


def _flat(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key not in NEUTRAL:
                yield from _flat(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        for i, item in enumerate(value):
            yield from _flat(item, path if len(value) == 1 else f"{path}.{i}")
    elif value not in (None, []):
        yield path, value


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for path in {**before, **after}:
        old, new = before.get(path), after.get(path)
        if old != new:
            yield f"{path} = {_stated(new)} instead of {_stated(old)}"


def _stated(value: Any) -> str:
    return "its default" if value is None else str(value)
