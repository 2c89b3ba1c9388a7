"""`perceptinit run`: run a recipe and print its table of scores."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from perceptinit.cli.options import (
    Device,
    Elsewhere,
    Fresh,
    Jobs,
    On,
    Overrides,
    RecipeFile,
    RunsFolder,
    Texts,
    UntilDecided,
    Workers,
)


def run(
    recipe: RecipeFile,
    arm: Annotated[Texts, typer.Option(help="Only this arm; may be repeated.")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Only this seed; may be repeated.")] = None,
    out: RunsFolder = Path("runs"),
    set_: Overrides = None,
    device: Device = "auto",
    smoke: Annotated[bool, typer.Option("--smoke", help="Run a tiny version on simulated data.")] = False,
    fresh: Fresh = False,
    jobs: Jobs = 1,
    nproc: Annotated[int, typer.Option(min=1, help="Number of local processes (GPUs) for each run.")] = 1,
    workers: Workers = None,
    on: On = None,
    until_decided: UntilDecided = False,
) -> None:
    """Run a recipe, every arm with every seed, and print a table of scores.

    Rerun the command to resume: finished runs are kept and interrupted runs continue. Several machines that
    share a folder can execute it at the same time; each run is executed once.

    --until-decided requires [verdict] delta and max_seeds. Intervals are corrected for interim analyses.

    Exit codes: 0 done, 1 a run failed, 2 the recipe or the request is invalid, 75 stopped by SIGTERM or
    SIGUSR1 after saving all work, 130 interrupted by Ctrl-C.

    Example: perceptinit run quickstart --seed 0 --set pretrain.epochs=1

    Example: perceptinit run my_recipe.toml --on commands | parallel -j 4

    Example: perceptinit run my_recipe.toml --until-decided --set verdict.max_seeds=8
    """
    from perceptinit.cli.execution import Execution, exit_on_interrupt, read_rounds
    from perceptinit.errors import UsageError
    from perceptinit.running.cells import plan_cells
    from perceptinit.running.launch import SUFFIX as FROZEN, is_launcher, run_in_processes

    if until_decided:
        others = {"--seed": seed, "--smoke": smoke, "--nproc": nproc > 1, "--on": on}
        if given := [name for name, is_given in others.items() if is_given]:
            raise UsageError(
                f"--until-decided chooses the runs and does not support {given[0]}. To choose them yourself, "
                "use --set verdict.max_seeds=N, perceptinit compare and --set seeds=[...]"
            )
    if on == Elsewhere.SLURM and nproc > 1:
        raise UsageError("--on slurm does not support --nproc. Set [slurm] nodes and gpus")
    is_frozen = recipe.suffix == FROZEN
    if is_frozen:
        fixed = {
            "--out": out != Path("runs"),
            "--set": set_,
            "--smoke": smoke,
            "--on": on,
            "--until-decided": until_decided,
        }
        if given := [name for name, is_given in fixed.items() if is_given]:
            raise UsageError(f"{recipe}: a frozen recipe does not support {given[0]}. Use its TOML file")
    execution = Execution(arms=arm or (), out=out, device=device, fresh=fresh, jobs=jobs, num_workers=workers)
    with exit_on_interrupt():
        if on != Elsewhere.COMMANDS and is_launcher(nproc):
            return run_in_processes(nproc, sys.argv[1:])
        if is_frozen:
            return execution.run_frozen(recipe, seed or ())
        rounds = read_rounds(recipe, set_ or (), seed or (), smoke, until_decided, out)
        if on:
            planned, seeds = next(rounds)
            return execution.distribute(on, planned, plan_cells(planned, arm or (), seeds, out), nproc)
        execution.run(rounds)
