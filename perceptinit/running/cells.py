"""The runs that recipes ask for: one cell per arm and seed, with the folder of its files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from perceptinit.errors import UsageError
from perceptinit.recipe.recipe import Arm, Recipe
from perceptinit.results.record import RECORD
from perceptinit.results.states import RunState, run_state


@dataclass(frozen=True, slots=True)
class Cell:
    """One run: an arm of a recipe, a seed, and the folder of its files."""

    recipe: Recipe
    arm: Arm
    seed: int
    folder: Path

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
    root = out / recipe.name
    return [
        Cell(recipe, arm, seed, root / arm.name / f"seed{seed}")
        for seed in (seeds or recipe.seeds)
        for arm in chosen
    ]
