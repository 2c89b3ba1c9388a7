"""`perceptinit tune`: equal trials for every arm, then two tables: shared settings, and each arm at its best."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from perceptinit.cli.options import Device, Fresh, Jobs, Overrides, Workers
from perceptinit.cli.terminal import new_console, print_warnings
from perceptinit.errors import UsageError

SHARED = "All arms at shared settings: what is said here is said of how they start."
BEST = "Each arm at its best settings: what is said here is said of procedures, tuning included."


def tune(
    recipe: Annotated[Path, typer.Argument(help="Recipe file (TOML) with a table [tune].")],
    out: Annotated[Path, typer.Option(help="Folder for OUT/<recipe>-trials/ and so on.")] = Path("runs"),
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
    from perceptinit.cli.execution import compare_cells, print_table
    from perceptinit.reports.searches import search_table
    from perceptinit.running.interruption import INTERRUPT_EXIT_CODE, INTERRUPTED
    from perceptinit.running.tuning import Tune, tuning_lines

    if "RANK" in os.environ:
        raise UsageError("tune: not by torchrun; --jobs N does N runs at a time, each on a GPU of its own")
    options = {"device": device, "fresh": fresh, "jobs": jobs, "num_workers": workers}
    try:
        tuning = Tune(recipe, set_ or (), out, **options)
        print_warnings(tuning.recipe.warnings)
        for line in tuning_lines(tuning.recipe):
            typer.echo(line)
        searches = tuning.search()
        at_best, at_shared = tuning.at_best(searches), tuning.at_shared()
        tuning.run(at_shared)
        tuning.run(at_best)
    except KeyboardInterrupt:
        typer.echo(INTERRUPTED, err=True)
        raise typer.Exit(INTERRUPT_EXIT_CODE) from None
    console = new_console(markup=False)
    console.print()
    console.print(search_table(searches))
    for title, cells in ((SHARED, at_shared), (BEST, at_best)):
        print_table(compare_cells(cells), cells[0].root, title)
