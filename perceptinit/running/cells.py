"""The runs of a recipe, one for each arm and seed, and the checks before they start."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from perceptinit.errors import CheckpointError, DataError, UsageError
from perceptinit.recipe.reading import load_recipe
from perceptinit.recipe.recipe import Arm, Recipe, fingerprint_difference
from perceptinit.results.locks import describe_holder, lock
from perceptinit.results.preregistration import read_plan
from perceptinit.results.record import RECORD, recorded_sha256
from perceptinit.results.runs import LoadedRun, load_run
from perceptinit.results.states import run_folder
from perceptinit.running.readiness import check_ready


@dataclass(frozen=True, slots=True)
class Cell:
    """One run: an arm of a recipe, a seed, and the folder of the run.

    A shared run belongs to the recipe that defines its arm, see `Recipe.origins`.
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
        """Folder of the recipe's runs."""
        return self.folder.parent.parent

    @property
    def record_path(self) -> Path:
        return self.folder / RECORD

    @property
    def loaded(self) -> LoadedRun:
        """The run with its current state."""
        return load_run(self.folder)

    def verify_state(self) -> LoadedRun:
        """Return the current state; CheckpointError if a finished run lacks its recorded final weights."""
        from perceptinit.files.checkpoints import load_weights

        found = self.loaded
        weights = self.folder / "weights" / "final.safetensors"
        if found.state == "finished":
            try:
                load_weights(weights, recorded_sha256(found.record, weights))
            except CheckpointError as error:
                raise CheckpointError(f"{error}. To repeat the run, use --fresh") from error
        return found


def plan_cells(
    recipe: Recipe, arms: Sequence[str] = (), seeds: Sequence[int] = (), out: Path = Path("runs")
) -> list[Cell]:
    """Return the runs of a recipe, ordered by seed, so that arms can be compared early.

    Args:
        recipe: The recipe.
        arms: Names of arms; empty: all.
        seeds: Seeds; empty: those of the recipe.
        out: Parent of the folder of the recipe's runs.

    Raises:
        UsageError: If an arm or a seed is not in the recipe.
    """
    chosen = list(map(recipe.arm, arms)) or list(recipe.arms)
    strange = sorted(set(seeds) - set(recipe.seeds))
    if strange:
        raise UsageError(f"{recipe.source}: seed {strange[0]} is not in seeds = {list(recipe.seeds)}")
    # shared runs use the checkpoint settings and trackers of this recipe
    settings: Any = {"checkpoint": recipe.checkpoint, "tracks": recipe.tracks}
    origins = {recipe.origins[arm.name] for arm in chosen if arm.name in recipe.origins}
    others = {origin.name: replace(load_recipe(origin.path), **settings) for origin in origins}
    root = out / recipe.name
    cells = []
    for seed in seeds or recipe.seeds:
        for arm in chosen:
            folder = run_folder(root, arm.name, seed, recipe.origins)
            if folder.is_relative_to(root):
                cells.append(Cell(recipe, arm, seed, folder))
            else:
                other = others[recipe.origins[arm.name].name]
                cells.append(Cell(other, other.arm(arm.name), seed, folder, is_shared=True))
    return cells


def prepare(recipe: Recipe, cells: Sequence[Cell], fresh: bool) -> None:
    """Check that runs can start. With `fresh`, remove the records of runs that are not shared.

    Raises:
        RecipeError: If a run would fail. The message lists all problems.
        UsageError: If the output folder is not writable, contains a run with different settings, or contains
            a run that another process is executing.
    """
    from perceptinit.compute import distributed

    check_ready(recipe, {cell.arm.name for cell in cells})
    distributed.decide(lambda: prepare_folders(cells, fresh))


def prepare_folders(cells: Sequence[Cell], fresh: bool) -> None:
    """Check the folders of runs. With `fresh`, remove the records of runs that are not shared."""
    for root in {cell.root for cell in cells}:
        check_writable(root)
        read_plan(root)  # reports a damaged plan before anything runs
    for cell in cells:
        if fresh and not cell.is_shared:
            _remove_record(cell)
        else:
            check_same_run(cell)


def check_writable(folder: Path) -> None:
    """Raise UsageError unless files can be created in `folder`."""
    nearest = folder
    while not nearest.exists():
        nearest = nearest.parent
    try:
        tempfile.TemporaryFile(dir=nearest).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"{folder}: cannot be written ({reason}). Choose another --out") from error


def check_same_run(cell: Cell) -> None:
    """Raise UsageError if the folder contains a run with other settings, DataError for a damaged record."""
    found = cell.loaded
    recipe = cell.recipe
    if found.state == "unreadable":
        raise DataError(f"{found.reason}. Restore the file, or repeat the run with --fresh")
    if not found.record or found.record["fingerprint"] == recipe.fingerprint(cell.arm):
        return
    difference = fingerprint_difference(found.record["arm"]["resolved"], recipe.resolve(cell.arm))
    fresh = f"`perceptinit run {recipe.source} --fresh`" if cell.is_shared else "--fresh"
    advice = f"Choose another --out, or use {fresh} to replace it"
    raise UsageError(
        f"{cell.folder} contains a run with other settings. {advice}. Differences:\n{difference}"
    )


def _remove_record(cell: Cell) -> None:
    """Remove the record of an earlier run; UsageError if another process is executing the run."""
    if not cell.folder.is_dir():
        return
    with lock(cell.folder) as is_mine:
        if not is_mine:
            raise UsageError(f"{cell.folder}: in use by {describe_holder(cell.folder)}. Stop it first")
        cell.record_path.unlink(missing_ok=True)
