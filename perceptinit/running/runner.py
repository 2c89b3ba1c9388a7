"""Run a recipe: for each seed and arm, build -> init* -> pretrain -> posthoc*, with evaluations.

The backbone is built with a seed that depends only on the run's seed, so every arm starts from the same
weights, text tower included. Initializers then change the image tower. Pretraining draws its order and crops
from the same seed in every arm. Several processes can share an output folder, see `sweep`.
"""

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
    """Run arms and seeds of a recipe and return their records.

    Finished runs are kept, and interrupted runs resume from their last checkpoint. A failed run does not stop
    the others. Several calls, on any machines, can share the folder.

    Args:
        recipe: The recipe.
        arms: Names of the arms to run; empty: all.
        seeds: Seeds to run; empty: all of the recipe.
        out: Files are written to `out/<recipe>/<arm>/seed<k>/`.
        cells: Runs of the recipe or of variants of it, instead of `arms` and `seeds`.
        device: "auto", "cpu" or "cuda".
        fresh: Repeat finished runs, except those shared with another recipe.
        jobs: Number of simultaneous runs, each in its own process.
        num_workers: Threads of each process that decode images; by default the number of usable cores.

    Raises:
        RecipeError: If data is missing or another obstacle is known, before any run starts.
        UsageError: If a folder contains a run with other settings.
        PerceptInitError: The error of the first run that failed, after all others are done.
    """
    from perceptinit.compute import distributed
    from perceptinit.compute.devices import choose_device, set_up_process
    from perceptinit.running.sweep import Sweep

    cells = cells or plan_cells(recipe, arms, seeds, out)
    with distributed.process_group():
        if jobs > 1 and distributed.world_size() > 1:
            raise UsageError(
                "--jobs: several processes already share each run. Use either --jobs or --nproc, not both"
            )
        prepare(recipe, cells, fresh)
        place = distributed.local_device(choose_device(device))
        sweep = Sweep(cells, place, fresh, num_workers=num_workers)
        if min(jobs, len(cells)) > 1:
            from perceptinit.running.resources import check_shared_gpus
            from perceptinit.running.workers import run_in_workers

            if place == "cuda":
                check_shared_gpus(recipe, min(jobs, len(cells)))
            return run_in_workers(sweep, jobs, num_workers)
        set_up_process(sweep.device)
        return sweep.work()


def plan_looks(path: Path, overrides: Sequence[str]) -> Iterator[tuple[Recipe, Sequence[int]]]:
    """Yield the recipe and the new seeds for each look (interim analysis), until the caller stops.

    The first look has the recipe's seeds, and each further look adds a seed. Records contain
    `verdict.max_seeds`, so tables correct their intervals for that number of looks.

    Raises:
        UsageError: If `verdict.max_seeds` or `verdict.delta` is missing, or the recipe has only one seed or
            too many.
    """
    recipe = load_recipe(path, overrides)
    seeds = recipe.seeds
    last = recipe.verdict.max_seeds
    if recipe.verdict.delta is None:
        raise UsageError(
            f"{recipe.source}: --until-decided needs [verdict] delta, the largest difference that does not "
            "matter. Without it, no verdict can be reached for equal arms"
        )
    if last is None:
        raise UsageError("--until-decided needs [verdict] max_seeds. Add --set verdict.max_seeds=N")
    if not 2 <= len(seeds) <= last:
        raise UsageError(
            f"--until-decided: the recipe has {len(seeds)} seed{'s' if len(seeds) > 1 else ''}. "
            f"Specify between 2 and {last} seeds (verdict.max_seeds)"
        )
    yield recipe, seeds
    while len(seeds) < last:
        seeds = (*seeds, max(seeds) + 1)
        yield load_recipe(path, [*overrides, f"seeds={list(seeds)}"]), seeds[-1:]
