"""`perceptinit status`: the states of runs."""

from pathlib import Path
from typing import Annotated

import typer

from perceptinit.cli.common import new_console


def status(
    runs: Annotated[
        list[Path], typer.Argument(help="Folders of runs, or a recipe (TOML) with runs in runs/.")
    ],
) -> None:
    """Show the state of each run: finished, running (with progress), interrupted, failed (with the error).

    Includes active runs on other machines that share the folder.

    Example: perceptinit status runs/quickstart
    """
    from perceptinit.reports.status import status_table
    from perceptinit.results.runs import load_experiments
    from perceptinit.running.queue import in_queue

    console = new_console(markup=False)
    for experiment in load_experiments(runs):
        console.print(status_table(experiment, in_queue))
        console.print()
