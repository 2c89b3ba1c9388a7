"""In what runs leave the setting whose published score a recipe expects: by `like`, or by overrides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from perceptinit.recipe.tables import apply_overrides, parse_toml
from perceptinit.recipe.text import merge_files, settings_by_arm

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

    text: of the recipe, merged when it is like another one. The setting is that of the first of its files that
    has an `[[expect]]`.
    """
    used = parse_toml(text, source)
    if "expect" not in used:
        return {}
    stating = (i for i, (path, own) in enumerate(sources) if "expect" in parse_toml(own, path))
    files = sources[next(stating, 0) :] or [(source, text)]
    stated = merge_files(files).tables
    used.setdefault("verdict", {})
    apply_overrides(used, overrides)
    before, after = _settings(stated), _settings(used)
    return {
        arm: tuple(
            f"{path} = {now.get(path, 'its default')} instead of {old.get(path, 'its default')}"
            for path in {**old, **now}
            if old.get(path) != now.get(path)
        )
        for arm, now in after.items()
        for old in [before.get(arm, {})]
    }


def _settings(tables: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the setting of each arm as path -> value."""
    found = settings_by_arm(tables, ("backbone", "pretrain"))
    return {arm: dict(_flat(setting, "")) for arm, setting in found.items()}


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
