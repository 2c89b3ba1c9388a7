"""The runs that a recipe asks for: one cell for each arm and seed, its folder, and whether it can begin there."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from perceptinit.errors import DataError, UsageError
from perceptinit.recipe.reading import load_recipe
from perceptinit.recipe.recipe import Arm, Recipe, fingerprint_difference
from perceptinit.results.preregistration import read_plan
from perceptinit.results.record import RECORD
from perceptinit.results.states import RunState, claim, holder, run_folder, run_state
from perceptinit.running.readiness import check_ready


@dataclass(frozen=True, slots=True)
class Cell:
    """One run: an arm of a recipe, a seed, and the folder of its files.

    A shared run is that of another recipe, from which the arm is taken: see `Recipe.origins`.
    """

    recipe: Recipe
    arm: Arm
    seed: int
    folder: Path
    is_shared: bool = False

    @property
    def title(self) -> str:
        return f"{self.arm.name}, seed {self.seed}"

    @property
    def root(self) -> Path:
        """Return the folder of the whole recipe's runs."""
        return self.folder.parent.parent

    @property
    def record_path(self) -> Path:
        return self.folder / RECORD

    @property
    def state(self) -> RunState:
        """Return the state that the run is in now."""
        return run_state(self.folder)


def plan_cells(
    recipe: Recipe, arms: Sequence[str] = (), seeds: Sequence[int] = (), out: Path = Path("runs")
) -> list[Cell]:
    """Return the runs in the order they are done: seed by seed, so that arms can be paired early."""
    chosen = [recipe.arm(name) for name in arms] or list(recipe.arms)
    strange = sorted(set(seeds) - set(recipe.seeds))
    if strange:
        raise UsageError(f"{recipe.source}: no seed {strange[0]} in seeds = {list(recipe.seeds)}")
    # origins keep checkpoints and report their runs as this recipe does
    settings: Any = {"checkpoint": recipe.checkpoint, "tracks": recipe.tracks}
    others = {
        origin.name: replace(load_recipe(origin.path), **settings)
        for origin in {recipe.origins[arm.name] for arm in chosen if arm.name in recipe.origins}
    }
    return [
        _plan_cell(recipe, arm, seed, out / recipe.name, others)
        for seed in (seeds or recipe.seeds)
        for arm in chosen
    ]


def _plan_cell(recipe: Recipe, arm: Arm, seed: int, root: Path, others: dict[str, Recipe]) -> Cell:
    folder = run_folder(root, arm.name, seed, recipe.origins)
    if folder.is_relative_to(root):
        return Cell(recipe, arm, seed, folder)
    other = others[recipe.origins[arm.name].name]
    return Cell(other, other.arm(arm.name), seed, folder, is_shared=True)


def prepare(recipe: Recipe, cells: Sequence[Cell], fresh: bool) -> None:
    """Check that runs can begin, and forget those of the recipe itself where they are to begin anew.

    Raises RecipeError with everything that is known to fail later, UsageError when the output folder cannot be
    written, or holds a run of other settings, or one that another process works on.
    """
    from perceptinit.compute import distributed

    check_ready(recipe, {cell.arm.name for cell in cells})
    distributed.decide(lambda: _prepare_folders(cells, fresh))


def _prepare_folders(cells: Sequence[Cell], fresh: bool) -> None:
    for root in {cell.root for cell in cells}:
        check_writable(root)
        read_plan(root)  # a plan that cannot be read is reported before anything runs
    for cell in cells:
        if fresh and not cell.is_shared:
            _forget(cell)
        else:
            check_same_run(cell)


def check_writable(folder: Path) -> None:
    """Raise UsageError unless files can be made in `folder`; nothing is left behind."""
    nearest = folder
    while not nearest.exists():
        nearest = nearest.parent
    try:
        tempfile.TemporaryFile(dir=nearest).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(
            f"{folder}: cannot be written ({reason}). Choose another place with --out"
        ) from error


def check_same_run(cell: Cell) -> None:
    """Raise UsageError when the folder holds a run that differs from what the recipe now says."""
    found, recipe = cell.state, cell.recipe
    if found.state == "unreadable":
        raise DataError(f"{found.reason}. Restore the file, or --fresh to do the run again")
    if not found.record or found.record["fingerprint"] == recipe.fingerprint(cell.arm):
        return
    difference = fingerprint_difference(found.record["arm"]["resolved"], recipe.resolved(cell.arm))
    fresh = f"`perceptinit run {recipe.source} --fresh`" if cell.is_shared else "--fresh"
    raise UsageError(
        f"{cell.folder} holds a run of another recipe. Choose another --out, or {fresh} to replace it:\n{difference}"
    )


def _forget(cell: Cell) -> None:
    """Remove the record of an earlier run, so that it starts over; UsageError when a process works on it."""
    if not cell.folder.is_dir():
        return
    with claim(cell.folder) as is_mine:
        if not is_mine:
            who = holder(cell.folder)
            raise UsageError(
                f"{cell.folder}: process {who.get('pid', '?')} on {who.get('host', '?')} works on it; "
                "stop it before --fresh"
            )
        cell.record_path.unlink(missing_ok=True)
