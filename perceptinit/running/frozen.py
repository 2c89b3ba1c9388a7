"""Write runs and their recipes as JSON, for worker processes and for jobs that start later."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from perceptinit.errors import DataError, UsageError
from perceptinit.files.atomic import write_file
from perceptinit.recipe.reading import read_recipe
from perceptinit.recipe.recipe import Recipe
from perceptinit.results.queue import FOLDER
from perceptinit.running.cells import Cell

STATED = ("text", "source", "overrides", "sources", "is_smoke")  # attributes that define a recipe
SUFFIX = ".json"


def describe_cells(cells: Sequence[Cell]) -> dict[str, Any]:
    """Return runs and their recipes as JSON values, for `restore_cells`."""
    recipes = list({id(cell.recipe): cell.recipe for cell in cells}.values())
    numbers = {id(recipe): i for i, recipe in enumerate(recipes)}
    return {
        "recipes": [_describe(recipe) for recipe in recipes],
        "runs": [[numbers[id(cell.recipe)], cell.arm.name, cell.seed, str(cell.folder)] for cell in cells],
    }


def restore_cells(described: Mapping[str, Any]) -> list[Cell]:
    """Return the runs from the output of `describe_cells`."""
    recipes = [_restore(stated) for stated in described["recipes"]]
    return [
        Cell(recipes[number], recipes[number].arm(arm), seed, Path(folder))
        for number, arm, seed, folder in described["runs"]
    ]


def freeze(recipe: Recipe, cells: Sequence[Cell], root: Path) -> Path:
    """Write the recipe and its runs to a file named by the hash of its content, and return the path."""
    fingerprints = [cell.recipe.fingerprint(cell.arm) for cell in cells]
    content = {"recipe": _describe(recipe), **describe_cells(cells), "fingerprints": fingerprints}
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
    recipe, cells = _restore(content["recipe"]), restore_cells(content)
    for cell, fingerprint in zip(cells, content["fingerprints"], strict=True):
        if cell.recipe.fingerprint(cell.arm) != fingerprint:
            raise UsageError(
                f"{path}: the settings of {cell.title} differ from the frozen settings. "
                "Use the same environment variables, plug-ins and version of perceptinit"
            )
    settings: Any = {"checkpoint": recipe.checkpoint, "tracks": recipe.tracks}  # as in `plan_cells`
    others = {id(cell.recipe): replace(cell.recipe, **settings) for cell in cells}
    is_shared = {key: other.name != recipe.name for key, other in others.items()}
    return recipe, [
        replace(cell, recipe=others[id(cell.recipe)], is_shared=is_shared[id(cell.recipe)]) for cell in cells
    ]


def _describe(recipe: Recipe) -> dict[str, Any]:
    return {name: getattr(recipe, name) for name in STATED} | {"folder": str(recipe.folder)}


def _restore(stated: Mapping[str, Any]) -> Recipe:
    known = {key: value for key, value in stated.items() if key not in ("is_smoke", "folder")}
    recipe = read_recipe(**known, folder=Path(stated["folder"]))
    return recipe.smoke() if stated["is_smoke"] else recipe


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
