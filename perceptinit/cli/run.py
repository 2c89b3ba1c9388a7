"""`perceptinit run`: a recipe from start to table."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from perceptinit.cli.options import (
    Device,
    Fresh,
    Jobs,
    Overrides,
    RecipeFile,
    RunsFolder,
    Workers,
)


class Cluster(StrEnum):
    """Where runs may be submitted to."""

    SLURM = "slurm"


def run(
    recipe: RecipeFile,
    arm: Annotated[list[str] | None, typer.Option(help="Only this arm; may be repeated.")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Only this seed; may be repeated.")] = None,
    out: RunsFolder = Path("runs"),
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
        typer.Option(help="Submit the missing runs to Slurm, as [slurm] of the recipe says."),
    ] = None,
    until_decided: Annotated[
        bool,
        typer.Option(
            "--until-decided",
            help="Add seeds one by one until the verdict is decided, verdict.max_seeds at most.",
        ),
    ] = False,
) -> None:
    """Run a recipe: every arm with every seed, then a table of scores.

    Finished runs are kept and interrupted ones continue, so the same command can be repeated, and
    given on several machines that share a folder: no run is done twice.
    --until-decided needs [verdict] delta and max_seeds. It looks again after every seed that it adds, with
    intervals that allow for it.
    Exit codes: 0 done, 1 a run failed, 2 the recipe or the request is wrong, 75 stopped by SIGTERM or
    SIGUSR1 with all work saved, 130 interrupted by Ctrl-C: the same command continues after both.

    Example: perceptinit run quickstart --seed 0 --set pretrain.epochs=1

    Example: perceptinit run my_recipe.toml --until-decided --set verdict.max_seeds=8
    """
    from perceptinit.cli.execution import Execution, read_rounds
    from perceptinit.errors import UsageError
    from perceptinit.running.interruption import INTERRUPT_EXIT_CODE, INTERRUPTED
    from perceptinit.running.launch import drop_nproc, is_launcher, run_in_processes

    if until_decided:
        others = {"--seed": seed, "--smoke": smoke, "--nproc": nproc > 1, "--on": on}
        if given := [name for name, is_given in others.items() if is_given]:
            raise UsageError(
                f"--until-decided and {given[0]} do not go together: the runs would not be those that it looks at. "
                "Several looks need no option: run with --set verdict.max_seeds=N, look (perceptinit compare), "
                "and add a seed (--set seeds=[...])"
            )
    if on and (nproc > 1 or jobs > 1):
        raise UsageError("--on slurm: [slurm] nodes and gpus say how many processes share a run")
    execution = Execution(arms=arm or (), out=out, device=device, fresh=fresh, jobs=jobs, num_workers=workers)
    try:
        if is_launcher(nproc):
            return run_in_processes(nproc, drop_nproc(sys.argv[1:]))
        rounds = read_rounds(recipe, set_ or (), seed or (), smoke, until_decided, out)
        if on:
            return execution.submit(*next(rounds))
        execution.run(rounds)
    except KeyboardInterrupt:
        if not int(os.environ.get("RANK", "0")):
            typer.echo(INTERRUPTED, err=True)
        raise typer.Exit(INTERRUPT_EXIT_CODE) from None
