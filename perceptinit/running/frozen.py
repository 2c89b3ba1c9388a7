"""Frozen recipes: JSON files of a recipe and its runs, for processes and jobs that start later."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from perceptinit.errors import DataError, UsageError
from perceptinit.files.atomic import write_file
from perceptinit.recipe.old_keys import restore_overrides, restore_text
from perceptinit.recipe.reading import read_recipe
from perceptinit.recipe.recipe import Recipe
from perceptinit.results.states import FOLDER
from perceptinit.running.cells import Cell

STATED = ("text", "source", "overrides", "sources", "is_smoke")  # attributes that define a recipe
SUFFIX = ".json"


def describe_cells(cells: Sequence[Cell]) -> dict[str, Any]:
    """Return runs and their recipes as JSON values, for `restore_cells`. `recipe` has no shared runs."""
    own = next((cell.recipe for cell in cells if not cell.is_shared), cells[0].recipe)
    recipes = list({id(cell.recipe): cell.recipe for cell in cells}.values())
    numbers = {id(recipe): i for i, recipe in enumerate(recipes)}
    return {
        "recipe": _describe(own),
        "recipes": list(map(_describe, recipes)),
        "runs": [[numbers[id(cell.recipe)], cell.arm.name, cell.seed, str(cell.folder)] for cell in cells],
    }


def restore_cells(described: Mapping[str, Any]) -> list[Cell]:
    """Return the runs from the output of `describe_cells`; shared runs have the settings of `plan_cells`."""
    own = _restore(described["recipe"])
    settings: Any = {"checkpoint": own.checkpoint, "tracks": own.tracks}
    recipes = [replace(_restore(stated), **settings) for stated in described["recipes"]]
    return [
        Cell(
            recipes[number],
            recipes[number].arm(arm),
            seed,
            Path(folder),
            is_shared=recipes[number].name != own.name,
        )
        for number, arm, seed, folder in described["runs"]
    ]


def freeze(recipe: Recipe, cells: Sequence[Cell], root: Path) -> Path:
    """Write the recipe and its runs to a file named by the hash of its content, and return the path."""
    fingerprints = [cell.recipe.fingerprint(cell.arm) for cell in cells]
    content = {**describe_cells(cells), "recipe": _describe(recipe), "fingerprints": fingerprints}
    data = json.dumps(content, indent=1).encode()
    path = root / FOLDER / f"recipe-{_hash(data)}{SUFFIX}"
    write_file(path, data)
    return path


def thaw(path: Path) -> tuple[Recipe, list[Cell]]:
    """Return a frozen recipe and its runs.

    Raises:
        DataError: If the file was edited.
        UsageError: If the file is missing, or an environment variable or a plug-in changes the settings.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    if path.stem != f"recipe-{_hash(data)}":
        raise DataError(f"{path}: not a frozen recipe, or edited since. Use the recipe's TOML file")
    content = json.loads(data)
    recipe = _restore(content["recipe"])
    cells = restore_cells(content)
    for cell, fingerprint in zip(cells, content["fingerprints"], strict=True):
        if cell.recipe.fingerprint(cell.arm) != fingerprint:
            raise UsageError(
                f"{path}: the settings of {cell.title} differ from the frozen settings. "
                "Use the same environment variables, plug-ins and version of perceptinit"
            )
    return recipe, cells


def _describe(recipe: Recipe) -> dict[str, Any]:
    return {name: getattr(recipe, name) for name in STATED} | {"folder": str(recipe.folder)}


def _restore(stated: Mapping[str, Any]) -> Recipe:
    recipe = read_recipe(
        restore_text(stated["text"], stated["source"]),
        source=stated["source"],
        overrides=restore_overrides(stated["overrides"]),
        folder=Path(stated["folder"]),
        sources=[(path, restore_text(text, path)) for path, text in stated["sources"]],
    )
    return recipe.smoke() if stated["is_smoke"] else recipe


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
