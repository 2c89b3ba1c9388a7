"""`perceptinit run`: execute or submit the runs of a recipe, also for `tune`, and print their table."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perceptinit.cli.common import (
    Device,
    Fresh,
    Jobs,
    Overrides,
    RecipeFile,
    RunsFolder,
    Submit,
    Texts,
    UntilDecided,
    Workers,
    new_console,
    print_warnings,
)
from perceptinit.errors import UsageError

if TYPE_CHECKING:
    from perceptinit.recipe.recipe import Recipe
    from perceptinit.running.cells import Cell
    from perceptinit.verdict.headline import Judged


def is_first_process() -> bool:
    """Return whether this process has rank 0."""
    return not int(os.environ.get("RANK", "0"))


@contextmanager
def exit_on_interrupt() -> Iterator[None]:
    """Convert Ctrl-C in the block into a message and exit code 130."""
    from perceptinit.running.interruption import INTERRUPT_EXIT_CODE, INTERRUPTED

    try:
        yield
    except KeyboardInterrupt:
        if is_first_process():
            typer.echo(INTERRUPTED, err=True)
        raise typer.Exit(INTERRUPT_EXIT_CODE) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """Executes or submits the runs of a recipe, with the options of `run_recipe`."""

    arms: Sequence[str]
    out: Path
    device: str
    fresh: bool
    jobs: int
    num_workers: int | None

    def distribute(self, to: str, recipe: Recipe, cells: Sequence[Cell], nproc: int = 1) -> None:
        """Submit the missing runs to "slurm", or print shell "commands".

        If all runs are finished, `--submit slurm` prints their table.
        """
        from perceptinit.running.commands import list_commands
        from perceptinit.running.slurm import submit

        root = self.out / recipe.name
        options: Any = {"out": self.out, "device": self.device, "num_workers": self.num_workers}
        if to == "slurm":
            done = submit(recipe, cells, fresh=self.fresh, **options)
            if done.num_finished == len(cells) and not recipe.is_trial:
                print_table(judge_cells(cells), root)
            else:
                typer.echo(f"{done}\nProgress: perceptinit status {root}")
            return
        lines = list_commands(recipe, cells, num_processes=nproc, **options)
        for line in lines:
            typer.echo(line)
        if not lines:
            typer.echo(f"{root}: all runs are finished or running", err=True)

    def run_frozen(self, path: Path, seeds: Sequence[int]) -> None:
        """Execute the chosen runs of a frozen recipe, then print their table, except for trials of `tune`."""
        from perceptinit.results.tuned import is_over
        from perceptinit.running.frozen import thaw
        from perceptinit.running.runner import run_recipe

        recipe, cells = thaw(path)
        chosen = [
            cell
            for cell in cells
            if (not self.arms or cell.arm.name in self.arms) and (not seeds or cell.seed in seeds)
        ]
        if not chosen:
            raise UsageError(f"{path}: no run of this arm and seed. Use the recipe's TOML file")
        if recipe.is_trial:  # diverged training is a result of a trial, and not repeated
            chosen = [cell for cell in chosen if not is_over(cell.loaded)]
        if chosen:
            run_recipe(recipe, cells=chosen, **asdict(self))
        if is_first_process() and not recipe.is_trial:
            print_table(judge_cells(chosen), chosen[0].root)

    def run(self, rounds: Iterable[tuple[Recipe, Sequence[int]]]) -> None:
        """Run rounds until the verdict is decided or no round is left, then print the table.

        Raises:
            Exception: The error of a failed run, raised after the table of the other runs is printed.
        """
        from perceptinit.running.cells import plan_cells
        from perceptinit.running.readiness import find_slow_precision
        from perceptinit.running.runner import run_recipe

        cells: list[Cell] = []
        failure: Exception | None = None
        for recipe, seeds in rounds:
            if cells:
                typer.echo(f"Undecided after {len(recipe.seeds) - 1} seeds. Adding seed {seeds[0]}.")
            elif is_first_process():
                print_warnings(find_slow_precision(recipe, self.device))
            cells += plan_cells(recipe, self.arms, seeds, self.out)
            try:
                run_recipe(recipe, seeds=seeds, **asdict(self))
            except UsageError:
                raise
            except Exception as error:  # raised after the table
                failure = error
            if not is_first_process():
                break
            judged = judge_cells(cells)
            if failure or all(answer.is_decided for answer in judged.answers):
                break
        if is_first_process():
            print_table(judged, self.out / recipe.name)
        if failure:
            raise failure


def read_rounds(
    path: Path,
    overrides: Sequence[str],
    seeds: Sequence[int],
    smoke: bool,
    until_decided: bool,
    out: Path,
) -> Iterator[tuple[Recipe, Sequence[int]]]:
    """Print warnings, then yield a recipe and seeds to run, once or for each look (interim analysis)."""
    from perceptinit.recipe.reading import load_recipe
    from perceptinit.running.runner import plan_looks
    from perceptinit.verdict.plan import departures_before

    rounds: Iterator[tuple[Recipe, Sequence[int]]]
    if until_decided:
        rounds = plan_looks(path, overrides)
    else:
        recipe = load_recipe(path, overrides)
        rounds = iter([(recipe.smoke() if smoke else recipe, seeds)])
    first, new = next(rounds)
    print_warnings((*first.warnings, *departures_before(first, out)))
    yield first, new
    yield from rounds


def judge_cells(cells: Sequence[Cell]) -> Judged:
    """Load the runs of the cells, compare their arms and judge the comparison."""
    from perceptinit.analysis.compare import compare
    from perceptinit.results.runs import load_runs
    from perceptinit.verdict.headline import Judged

    return Judged.of(compare(load_runs([cell.folder for cell in cells])))


def print_table(judged: Judged, root: Path, title: str = "") -> None:
    """Print the folder of the runs, then their answer and the table of the primary score."""
    from perceptinit.cli.compare import print_comparison

    console = new_console(markup=False)
    console.print(f"\nRecords, weights and events: {root}", soft_wrap=True)
    if title:
        console.rule(title, align="left")
    console.print()
    print_comparison(judged, more=f"perceptinit compare {shlex.quote(str(root))} --all")


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
    submit: Submit = None,
    until_decided: UntilDecided = False,
) -> None:
    """Run a recipe, every arm with every seed, and print a table of scores.

    Rerun the command to resume: finished runs are kept and interrupted runs continue. Several machines that
    share a folder can execute it at the same time; each run is executed once.

    --until-decided requires [verdict] delta and max_seeds. Intervals are corrected for interim analyses.

    Exit codes: 0 done, 1 a run failed, 2 the recipe or the request is invalid, 75 stopped by SIGTERM or
    SIGUSR1 after saving all work, 130 interrupted by Ctrl-C.

    Example: perceptinit run quickstart --seed 0 --set pretrain.epochs=1

    Example: perceptinit run my_recipe.toml --submit commands | parallel -j 4

    Example: perceptinit run my_recipe.toml --until-decided --set verdict.max_seeds=8
    """
    from perceptinit.running.cells import plan_cells
    from perceptinit.running.frozen import SUFFIX as FROZEN
    from perceptinit.running.torchrun import is_launcher, run_in_processes

    is_frozen = recipe.suffix == FROZEN
    execution = Execution(arms=arm or (), out=out, device=device, fresh=fresh, jobs=jobs, num_workers=workers)
    with exit_on_interrupt():
        if submit != "commands" and is_launcher(nproc):
            return run_in_processes(nproc, sys.argv[1:])
        if is_frozen:
            return execution.run_frozen(recipe, seed or ())
        rounds = read_rounds(recipe, set_ or (), seed or (), smoke, until_decided, out)
        if submit:
            planned, seeds = next(rounds)
            return execution.distribute(submit, planned, plan_cells(planned, arm or (), seeds, out), nproc)
        execution.run(rounds)
