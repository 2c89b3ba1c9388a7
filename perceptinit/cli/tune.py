"""`perceptinit tune`: the same trials for all arms, then tables at the shared and at the best settings."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from perceptinit.cli.common import (
    Device,
    Fresh,
    Jobs,
    Overrides,
    RunsFolder,
    Submit,
    Workers,
    new_console,
    print_warnings,
)
from perceptinit.errors import UsageError

SHARED = "All arms at shared settings: differences come from the initialization."
BEST = "Each arm at its best settings: differences come from whole procedures, including tuning."


def tune(
    recipe: Annotated[Path, typer.Argument(help="Recipe file (TOML) with a table [tune].")],
    out: RunsFolder = Path("runs"),
    set_: Overrides = None,
    device: Device = "auto",
    fresh: Fresh = False,
    jobs: Jobs = 1,
    workers: Workers = None,
    submit: Submit = None,
) -> None:
    """Tune every arm with the same number of trials, then compare them at shared and at their best settings.

    All arms try the same settings. Trials are scored on the validation data of [tune.eval], not on [[eval]].
    Rerun the command to resume; several machines can share the folder. With --submit, it starts the trials.
    Run the same command again when they have ended, to start the final runs.

    Exit codes: as for `perceptinit run`.

    Example: perceptinit tune my_recipe.toml --jobs 4
    """
    from perceptinit.cli.run import Execution, exit_on_interrupt, judge_cells, print_table
    from perceptinit.reports.tuning import search_table
    from perceptinit.running.tuning import Tune, tuning_lines

    if "RANK" in os.environ:
        raise UsageError(
            "tune does not support torchrun. Use --jobs N: N runs at a time, each on its own GPU"
        )
    options: Any = {"device": device, "fresh": fresh, "jobs": jobs, "num_workers": workers}
    with exit_on_interrupt():
        tuning = Tune(recipe, set_ or (), out, **options)
        print_warnings(tuning.recipe.warnings)
        for line in tuning_lines(tuning.recipe):
            typer.echo(line, err=bool(submit))
        if submit:
            message = f"All runs are finished. For the tables: perceptinit report {out / tuning.recipe.name}"
            for planned, cells in tuning.unfinished():
                Execution(arms=(), out=out, **options).distribute(submit, planned, cells)
                message = "When these runs have ended, run the same command again."
            return typer.echo(message, err=True)
        searches = tuning.search()
        for planned, cells in (final := tuning.final(searches)):
            tuning.run(planned, cells)
    console = new_console(markup=False)
    console.print()
    console.print(search_table(searches))
    for title, (planned, cells) in zip((SHARED, BEST), final, strict=True):
        print_table(judge_cells(cells), out / planned.name, title)
