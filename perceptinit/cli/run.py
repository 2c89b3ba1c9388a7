"""`perceptinit run`: a recipe from start to table."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perceptinit.cli.options import Device, Fresh, Jobs, Overrides, Workers

if TYPE_CHECKING:
    from perceptinit.recipe.recipe import Recipe
    from perceptinit.reports.comparison import Comparison


class Cluster(StrEnum):
    """Where runs may be submitted to."""

    SLURM = "slurm"


def run(
    recipe: Annotated[Path, typer.Argument(help="Recipe file (TOML).")],
    arm: Annotated[list[str] | None, typer.Option(help="Only this arm; may be repeated.")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Only this seed; may be repeated.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for OUT/<recipe>/<arm>/seed<k>/.")] = Path(
        "runs"
    ),
    set_: Overrides = None,
    device: Device = "auto",
    smoke: Annotated[
        bool,
        typer.Option("--smoke", help="Shrunk to seconds, on simulated data: does it work at all?"),
    ] = False,
    fresh: Fresh = False,
    jobs: Jobs = 1,
    nproc: Annotated[
        int, typer.Option(min=1, help="Processes (GPUs) that share each run, on this machine.")
    ] = 1,
    workers: Workers = None,
    on: Annotated[
        Cluster | None,
        typer.Option(
            help="Submit the runs that are missing to Slurm, as [slurm] of the recipe says."
        ),
    ] = None,
    until_decided: Annotated[
        bool,
        typer.Option(
            "--until-decided",
            help="Add seeds one by one until the verdict is decided; intervals allow for every look.",
        ),
    ] = False,
    max_seeds: Annotated[
        int | None, typer.Option(min=2, help="With --until-decided: the most seeds.")
    ] = None,
) -> None:
    """Run a recipe: every arm with every seed, then a table of scores.

    Finished runs are kept and interrupted ones continue, so the same command can be repeated, and
    given on several machines that share a folder: no run is done twice.
    --until-decided needs [verdict] delta and looks again after every seed that it adds, with intervals
    that allow for it.
    Exit codes: 0 done, 1 a run failed, 2 the recipe or the request is wrong, 75 stopped by SIGTERM or
    SIGUSR1 with all work saved, 130 interrupted by Ctrl-C: the same command continues after both.

    Example: perceptinit run quickstart --seed 0 --set pretrain.epochs=1
    """
    from perceptinit.errors import UsageError
    from perceptinit.running.interruption import INTERRUPT_EXIT_CODE, INTERRUPTED
    from perceptinit.running.launch import is_launcher, run_in_processes, without_nproc
    from perceptinit.running.runner import refuse_beside

    if until_decided or max_seeds is not None:
        others = {"--seed": seed, "--smoke": smoke, "--nproc": nproc > 1, "--on": on}
        refuse_beside(until_decided, [name for name, is_given in others.items() if is_given])
    try:
        if on and (nproc > 1 or jobs > 1):
            raise UsageError(
                "--on slurm: [slurm] nodes and gpus say how many processes share a run"
            )
        if is_launcher(nproc):
            return run_in_processes(nproc, without_nproc(sys.argv[1:]))
        todo = _recipes(recipe, set_ or (), seed or (), smoke, until_decided, max_seeds, out)
        if on:
            return _submit(*next(todo), arm or (), out, device, fresh, workers)
        _run(todo, arm or (), out, device, fresh, jobs, workers)
    except KeyboardInterrupt:
        if not int(os.environ.get("RANK", "0")):
            typer.echo(INTERRUPTED, err=True)
        raise typer.Exit(INTERRUPT_EXIT_CODE) from None


def _recipes(
    path: Path,
    overrides: Sequence[str],
    seeds: Sequence[int],
    smoke: bool,
    until_decided: bool,
    max_seeds: int | None,
    out: Path,
) -> Iterator[tuple[Recipe, Sequence[int]]]:
    """Yield what is to be run, one after the other until the verdict is decided: a recipe, and which seeds of it."""
    from perceptinit.recipe.reading import load_recipe
    from perceptinit.reports.planning.plan import departures_before
    from perceptinit.running.runner import plan_looks

    todo: Iterator[tuple[Recipe, Sequence[int]]]
    if until_decided:
        todo = plan_looks(path, overrides, max_seeds)
    else:
        recipe = load_recipe(path, overrides)
        todo = iter([(recipe.smoke() if smoke else recipe, seeds)])
    first, new = next(todo)
    for warning in (*first.warnings, *departures_before(first, out)):
        typer.echo(f"warning: {warning}", err=True)
    yield first, new
    yield from todo


def _submit(
    recipe: Recipe,
    seeds: Sequence[int],
    arms: Sequence[str],
    out: Path,
    device: str,
    fresh: bool,
    workers: int | None,
) -> None:
    from perceptinit.reports.compare import compare
    from perceptinit.results.runs import load_runs
    from perceptinit.running.cells import plan_cells
    from perceptinit.running.slurm import submit

    cells = plan_cells(recipe, arms, seeds, out)
    done = submit(recipe, cells, out=out, device=device, fresh=fresh, num_workers=workers)
    if done.num_finished == len(cells):
        _show_table(compare(load_runs([cell.folder for cell in cells])), out / recipe.name)
    else:
        typer.echo(f"{done}\nWhere they are: perceptinit status {out / recipe.name}")


def _run(
    todo: Iterable[tuple[Recipe, Sequence[int]]],
    arms: Sequence[str],
    out: Path,
    device: str,
    fresh: bool,
    jobs: int,
    workers: int | None,
) -> None:
    from perceptinit.reports.compare import compare
    from perceptinit.reports.verdicts.headline import find_undecided
    from perceptinit.results.runs import load_runs
    from perceptinit.running.cells import Cell, plan_cells

    cells: list[Cell] = []
    for recipe, seeds in todo:
        if cells:
            typer.echo(
                f"Undecided: seed {seeds[0]} is added to the {len(recipe.seeds) - 1} there are."
            )
        cells += plan_cells(recipe, arms, seeds, out)
        failure = _attempt(recipe, arms, seeds, out, device, fresh, jobs, workers)
        if int(os.environ.get("RANK", "0")):  # of several processes, the first shows the table
            break
        comparison = compare(load_runs([cell.folder for cell in cells]))
        if failure is not None or not find_undecided(comparison):
            break
    if not int(os.environ.get("RANK", "0")):
        _show_table(comparison, out / recipe.name)
    if failure is not None:
        raise failure


def _show_table(comparison: Comparison, root: Path) -> None:
    from rich.console import Console

    from perceptinit.reports.tables import rich_table

    console = Console(markup=False)
    console.print()
    console.print(rich_table(comparison, comparison.matching(())))
    console.print(f"Records, weights and events: {root}", soft_wrap=True, highlight=False)


def _attempt(
    recipe: Recipe,
    arms: Sequence[str],
    seeds: Sequence[int],
    out: Path,
    device: str,
    fresh: bool,
    jobs: int,
    workers: int | None,
) -> Exception | None:
    """Run the recipe; return the error of a run that failed, to be told after the table of those that did not."""
    from perceptinit.errors import UsageError
    from perceptinit.running.runner import run_recipe

    try:
        run_recipe(
            recipe,
            arms=arms,
            seeds=seeds,
            out=out,
            device=device,
            fresh=fresh,
            jobs=jobs,
            num_workers=workers,
        )
    except UsageError:
        raise
    except Exception as error:
        return error
    return None
