"""Run a recipe: for each seed and arm, build -> init* -> pretrain -> posthoc*, and evaluate on the way.

Precedence is said once, here: the backbone is built under a seed that depends on the run's seed
alone, so every arm starts from the same weights, text tower included; initializers then change
the image tower; pretraining draws its order and crops from the same seed in every arm.

Any number of these may work on one output folder: see `sweep`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from perceptinit.components.building import Spec, preflight, walk, warnings_of
from perceptinit.errors import DataError, Problem, RecipeError, UsageError
from perceptinit.protocols import HasMisfits
from perceptinit.recipe.recipe import Recipe, fingerprint_difference
from perceptinit.results.preregistration import read_plan
from perceptinit.running.cells import Cell, plan_cells


def run_recipe(
    recipe: Recipe,
    *,
    arms: Sequence[str] = (),
    seeds: Sequence[int] = (),
    out: Path = Path("runs"),
    device: str = "auto",
    fresh: bool = False,
    jobs: int = 1,
    num_workers: int | None = None,
) -> list[dict[str, Any]]:
    """Run the chosen arms and seeds (all by default) and return their records.

    Files go to `out/<recipe>/<arm>/seed<k>/`. A finished run is kept; an interrupted one continues
    from its last checkpoint; `fresh` does all of them again. `jobs` runs go on at the same time, in
    processes of their own; further calls, on this machine or others, may share the folder.

    num_workers: threads of each process that decode images, by default the cores that it may use.

    A run that fails does not stop the others. Raises RecipeError before anything starts when
    something is known to be missing, UsageError when a folder holds a run of another recipe, and
    the first run's error after all are done.
    """
    return run_cells(
        plan_cells(recipe, arms, seeds, out),
        device=device,
        fresh=fresh,
        jobs=jobs,
        num_workers=num_workers,
    )


def run_cells(
    cells: Sequence[Cell],
    *,
    device: str = "auto",
    fresh: bool = False,
    jobs: int = 1,
    num_workers: int | None = None,
) -> list[dict[str, Any]]:
    """Do runs, at least one, as `run_recipe` does and with its errors; see `Sweep` for which go together."""
    from perceptinit.compute import distributed
    from perceptinit.compute.devices import choose_device, set_up_process
    from perceptinit.running.sweep import Sweep

    with distributed.process_group():
        if jobs > 1 and distributed.world_size() > 1:
            raise UsageError("--jobs: several processes already work on each run; take one of both")
        check_ready(cells[0].recipe, {cell.arm.name for cell in cells})
        distributed.decide(lambda: prepare(cells, fresh))
        place = distributed.local_device(choose_device(device))
        sweep = Sweep(cells, place, fresh, num_workers=num_workers)
        if min(jobs, len(cells)) > 1:
            from perceptinit.running.workers import run_in_workers

            return run_in_workers(sweep, jobs, num_workers)
        set_up_process(sweep.device)
        return sweep.work()


def prepare(cells: Sequence[Cell], fresh: bool) -> None:
    """Look at the output folder: is it writable, and are the runs in it these or to be forgotten?"""
    from perceptinit.running.sweep import forget

    for root in {cell.root for cell in cells}:
        check_writable(root)
        read_plan(root)  # one that cannot be read is told before anything runs
    for cell in cells:
        if fresh:
            forget(cell)
        else:
            check_same_run(cell)


def check_ready(recipe: Recipe, arms: Collection[str] = ()) -> None:
    """Raise RecipeError with everything that is known to fail later, of some arms or of all."""
    asked = tuple(arm for arm in recipe.arms if not arms or arm.name in arms)
    problems = find_obstacles(replace(recipe, arms=asked))
    if problems:
        raise RecipeError(problems, recipe.source)


def find_obstacles(recipe: Recipe, others: Iterable[Spec] = ()) -> list[Problem]:
    """Return what stands in the way of running a valid recipe, such as absent data, each once.

    others: components beside those of the runs.
    """
    return _told([*recipe.specs(), *others], preflight) or _misfits(recipe)


def _misfits(recipe: Recipe) -> list[Problem]:
    """Return why evaluators cannot measure what the recipe trains, such as for classes of other names."""
    evaluators = [(slot.spec, slot.spec.build()) for slot in recipe.evals]
    fitted = [(spec, built) for spec, built in evaluators if isinstance(built, HasMisfits)]
    if not fitted or recipe.pretrain is None:
        return []
    pretrainer = recipe.pretrain.build()
    return [
        Problem(f"[{spec.where}]", text)
        for spec, built in fitted
        for text in built.misfits(pretrainer)
    ]


def find_warnings(recipe: Recipe) -> list[Problem]:
    """Return what would run, but is hardly meant, such as a batch larger than the data, each once."""
    return _told(recipe.specs(), warnings_of)


def _told(specs: Iterable[Spec], ask: Callable[[Any], list[str]]) -> list[Problem]:
    told: dict[str, Problem] = {}
    for spec in walk(specs):
        try:
            messages = ask(spec.build())
        except Exception as error:  # told with its place in the recipe, whatever it is
            messages = [str(error) or type(error).__name__]
        for message in messages:
            told.setdefault(message, Problem(f"[{spec.where}]", message))
    return list(told.values())


def check_writable(folder: Path) -> None:
    """Raise UsageError unless files can be made in `folder`; nothing is left behind."""
    nearest = folder
    while not nearest.exists():
        nearest = nearest.parent
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
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
    raise UsageError(
        f"{cell.folder} holds a run of another recipe. Choose another --out, or --fresh to replace it:\n{difference}"
    )
