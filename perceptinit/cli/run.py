"""`perceptinit run`: a recipe from start to table."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer


def run(
    recipe: Annotated[Path, typer.Argument(help="Recipe file (TOML).")],
    arm: Annotated[list[str] | None, typer.Option(help="Only this arm; may be repeated.")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Only this seed; may be repeated.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for OUT/<recipe>/<arm>/seed<k>/.")] = Path(
        "runs"
    ),
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="PATH=VALUE", help="Override a key, such as pretrain.epochs=1."
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="torch device, or auto.")] = "auto",
    smoke: Annotated[
        bool,
        typer.Option("--smoke", help="Shrunk to seconds, on simulated data: does it work at all?"),
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Do finished and interrupted runs again from the start.")
    ] = False,
    jobs: Annotated[
        int, typer.Option(min=1, help="Runs at the same time, each in a process of its own.")
    ] = 1,
    nproc: Annotated[
        int, typer.Option(min=1, help="Processes (GPUs) that share each run, on this machine.")
    ] = 1,
    job_array: Annotated[
        bool,
        typer.Option(
            "--job-array",
            help="Run nothing; print a Slurm job array with a task per unfinished run.",
        ),
    ] = False,
) -> None:
    """Run a recipe: every arm with every seed, then a table of scores.

    Finished runs are kept and interrupted ones continue, so the same command can be repeated, and
    given on several machines that share a folder: no run is done twice.
    Exit codes: 0 done, 1 a run failed, 2 the recipe or the request is wrong, 75 stopped by SIGTERM or
    SIGUSR1 with all work saved, 130 interrupted by Ctrl-C: the same command continues after both.

    Example: perceptinit run quickstart --seed 0 --set pretrain.epochs=1
    """
    from perceptinit.running.interruption import INTERRUPT_EXIT_CODE, INTERRUPTED

    try:
        if nproc > 1 and "RANK" not in os.environ:
            from perceptinit.running.launch import run_in_processes, without_nproc

            return run_in_processes(nproc, without_nproc(sys.argv[1:]))
        _run(recipe, arm or (), seed or (), out, set_ or (), device, smoke, fresh, jobs, job_array)
    except KeyboardInterrupt:
        if not int(os.environ.get("RANK", "0")):
            typer.echo(INTERRUPTED, err=True)
        raise typer.Exit(INTERRUPT_EXIT_CODE) from None


def _run(
    recipe: Path,
    arms: Sequence[str],
    seeds: Sequence[int],
    out: Path,
    overrides: Sequence[str],
    device: str,
    smoke: bool,
    fresh: bool,
    jobs: int,
    job_array: bool,
) -> None:
    from rich.console import Console

    from perceptinit.errors import UsageError
    from perceptinit.recipe.reading import load_recipe
    from perceptinit.reports.compare import compare
    from perceptinit.reports.tables import rich_table
    from perceptinit.results.runs import load_runs
    from perceptinit.running.cells import plan_cells
    from perceptinit.running.job_array import job_array_script
    from perceptinit.running.runner import run_recipe

    loaded = load_recipe(recipe, overrides)
    for warning in loaded.warnings:
        typer.echo(f"warning: {warning}", err=True)
    if smoke:
        loaded = loaded.smoke()
    cells = plan_cells(loaded, arms, seeds, out)
    if job_array:
        typer.echo(job_array_script(loaded, cells, out, device, fresh), nl=False)
        return
    failure: Exception | None = None
    try:
        run_recipe(
            loaded,
            arms=arms,
            seeds=seeds,
            out=out,
            device=device,
            fresh=fresh,
            jobs=jobs,
        )
    except UsageError:
        raise
    except Exception as error:  # told after the table of what did finish
        failure = error
    if int(os.environ.get("RANK", "0")):  # of several processes, the first shows the table
        if failure is not None:
            raise failure
        return
    comparison = compare(load_runs([cell.folder for cell in cells]))
    console = Console(markup=False)
    console.print()
    console.print(rich_table(comparison, comparison.matching(())))
    console.print(
        f"Records, weights and events: {out / loaded.name}", soft_wrap=True, highlight=False
    )
    if failure is not None:
        raise failure
