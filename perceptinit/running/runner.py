"""Run a recipe: for each seed and arm, build -> init* -> pretrain -> posthoc*, and evaluate on the way.

Precedence is said once, here: the backbone is built under a seed that depends on the run's seed
alone, so every arm starts from the same weights, text tower included; initializers then change
the image tower; pretraining draws its order and crops from the same seed in every arm.

Any number of these may work on one output folder: see `sweep`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from perceptinit.errors import UsageError
from perceptinit.recipe.reading import load_recipe
from perceptinit.recipe.recipe import Recipe
from perceptinit.running.cells import Cell, plan_cells, prepare


def run_recipe(
    recipe: Recipe,
    *,
    arms: Sequence[str] = (),
    seeds: Sequence[int] = (),
    out: Path = Path("runs"),
    cells: Sequence[Cell] = (),
    device: str = "auto",
    fresh: bool = False,
    jobs: int = 1,
    num_workers: int | None = None,
) -> list[dict[str, Any]]:
    """Run the chosen arms and seeds (all by default) and return their records.

    A finished run is kept; an interrupted one continues from its last checkpoint. A run that fails does not stop
    the others. Further calls, on this machine or others, may share the folder.

    Args:
        recipe: The recipe.
        arms: Names of the arms to run, all unless given.
        seeds: Seeds to run, all of the recipe unless given.
        out: Files go to `out/<recipe>/<arm>/seed<k>/`.
        cells: Runs of the recipe or with other settings of it, in place of `arms` and `seeds`.
        device: "auto", "cpu" or "cuda".
        fresh: Do finished runs again, except those that are shared with another recipe.
        jobs: Runs at a time, each in its own process.
        num_workers: Threads of each process that decode images, by default the cores that it may use.

    Raises:
        RecipeError: If something is known to be missing, before anything starts.
        UsageError: If a folder holds a run of another recipe.
        PerceptInitError: The error of the first run that failed, after all others are done.
    """
    from perceptinit.compute import distributed
    from perceptinit.compute.devices import choose_device, set_up_process
    from perceptinit.running.sweep import Sweep

    cells = cells or plan_cells(recipe, arms, seeds, out)
    with distributed.process_group():
        if jobs > 1 and distributed.world_size() > 1:
            raise UsageError("--jobs: several processes already work on each run; take one of both")
        prepare(recipe, cells, fresh)
        place = distributed.local_device(choose_device(device))
        sweep = Sweep(cells, place, fresh, num_workers=num_workers)
        if min(jobs, len(cells)) > 1:
            from perceptinit.running.workers import run_in_workers

            return run_in_workers(sweep, jobs, num_workers)
        set_up_process(sweep.device)
        return sweep.work()


def plan_looks(path: Path, overrides: Sequence[str]) -> Iterator[tuple[Recipe, Sequence[int]]]:
    """Yield the recipe for every look at its runs, with the seeds that are new; the caller stops when decided.

    The first look has the recipe's own seeds, each one after it one more. Records keep the overrides, so that
    every table made of them has intervals for `verdict.max_seeds` looks.

    Raises:
        UsageError: Without `verdict.max_seeds` or a delta, and with more seeds than that.
    """
    recipe = load_recipe(path, overrides)
    seeds, last = recipe.seeds, recipe.verdict.max_seeds
    if recipe.verdict.delta is None:
        raise UsageError(
            f"{recipe.source}: --until-decided needs [verdict] delta, the points within which a difference does not "
            "matter: without it, arms that do not differ are never decided"
        )
    if last is None:
        raise UsageError("--until-decided: at how many seeds does it end? --set verdict.max_seeds=N")
    if not 2 <= len(seeds) <= last:
        raise UsageError(
            f"--until-decided: the recipe has {len(seeds)} seed{'s' if len(seeds) > 1 else ''} and at most {last} "
            "are allowed; the first look needs 2 seeds, and the last one as many as the first"
        )
    yield recipe, seeds
    while len(seeds) < last:
        seeds = (*seeds, max(seeds) + 1)
        yield load_recipe(path, [*overrides, f"seeds={list(seeds)}"]), seeds[-1:]
