"""`perceptinit tune`: equal trials for every arm, then two tables: shared settings, and each arm at its best."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perceptinit.cli.options import Device, Fresh, Jobs, Overrides, Workers
from perceptinit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from perceptinit.results.tuned import Search
    from perceptinit.running.cells import Cell


def tune(
    recipe: Annotated[Path, typer.Argument(help="Recipe file (TOML) with a table [tune].")],
    out: Annotated[Path, typer.Option(help="Folder for OUT/<recipe>-trials/ and so on.")] = Path(
        "runs"
    ),
    set_: Overrides = None,
    device: Device = "auto",
    fresh: Fresh = False,
    jobs: Jobs = 1,
    workers: Workers = None,
) -> None:
    """Tune every arm with as many trials as the others, then compare all at shared settings and each at its best.

    Trials try the same settings in all arms and are scored on the validation data of [tune.eval], never on what
    [[eval]] measures. The same command continues after any stop; several machines may share the folder.
    Exit codes as of `perceptinit run`.

    Example: perceptinit tune my_recipe.toml --jobs 4
    """
    from rich.console import Console

    from perceptinit.running.interruption import INTERRUPT_EXIT_CODE, INTERRUPTED
    from perceptinit.running.tuning import Tune, tuning_lines

    if "RANK" in os.environ:
        raise UsageError(
            "tune: not by torchrun; --jobs N does N runs at a time, each on a GPU of its own"
        )
    options = {"device": device, "fresh": fresh, "jobs": jobs, "num_workers": workers}
    try:
        tuning = Tune(recipe, set_ or (), out, **options)
        for warning in tuning.recipe.warnings:
            typer.echo(f"warning: {warning}", err=True)
        for line in tuning_lines(tuning.recipe):
            typer.echo(line)
        searches = tuning.search()
        at_best, at_shared = tuning.at_best(searches), tuning.at_shared()
        tuning.run(at_shared)
        tuning.run(at_best)
    except KeyboardInterrupt:
        typer.echo(INTERRUPTED, err=True)
        raise typer.Exit(INTERRUPT_EXIT_CODE) from None
    console = Console(markup=False)
    _print(console, searches, at_shared, at_best)


def _print(
    console: Console, searches: Sequence[Search], shared: Sequence[Cell], best: Sequence[Cell]
) -> None:
    from perceptinit.reports.compare import compare
    from perceptinit.reports.searches import search_table
    from perceptinit.reports.tables import rich_table
    from perceptinit.results.runs import load_runs

    console.print()
    console.print(search_table(searches))
    for title, cells in (
        ("All arms at shared settings: what is said here is said of how they start.", shared),
        (
            "Each arm at its best settings: what is said here is said of procedures, tuning included.",
            best,
        ),
    ):
        comparison = compare(load_runs([cell.folder for cell in cells]))
        console.print()
        console.rule(title, align="left")
        console.print(rich_table(comparison, comparison.matching(())))
        console.print(f"Records: {cells[0].root}", soft_wrap=True, highlight=False)
