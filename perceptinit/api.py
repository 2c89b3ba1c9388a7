"""The library half: what the command line does, for other people's programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from perceptinit.building import read_spec
from perceptinit.errors import RecipeError
from perceptinit.plugin_manager import build_plugin_manager
from perceptinit.registry import Entry


def list_components(kind: str | None = None) -> list[Entry]:
    """Return the components that are installed, of one kind or of all, without importing them."""
    registry = build_plugin_manager().registry
    return registry.of_kind(kind) if kind else list(registry.entries)


def build(kind: str, table: dict[str, Any]) -> Any:
    """Make a component from a recipe table: `build("judgments", {"use": "synthetic", "seed": 1})`.

    Raises RecipeError with every problem of the table.
    """
    spec, problems = read_spec(build_plugin_manager().registry, kind, table, kind)
    if spec is None:
        raise RecipeError(problems)
    return spec.build()


def run_recipe(
    recipe: str | Path,
    *,
    arms: Sequence[str] = (),
    seeds: Sequence[int] = (),
    out: str | Path = "runs",
    overrides: Sequence[str] = (),
    device: str = "auto",
    smoke: bool = False,
    fresh: bool = False,
) -> list[dict[str, Any]]:
    """Run a recipe file as `perceptinit run` does and return the records of its runs.

    Raises RecipeError with every problem, before anything starts.
    """
    from perceptinit import runner
    from perceptinit.recipe import load_recipe

    loaded = load_recipe(recipe, overrides)
    loaded = loaded.smoke() if smoke else loaded
    return runner.run_recipe(
        loaded, arms=arms, seeds=seeds, out=Path(out), device=device, fresh=fresh
    )
