"""`perceptinit status`: which runs are finished, running, failed or missing."""

from __future__ import annotations

from perceptinit.cli.options import Runs
from perceptinit.cli.terminal import new_console


def status(runs: Runs) -> None:
    """Show every run of a folder: finished, running and how far, interrupted, failed and why.

    Works while runs go on, also those of other machines that share the folder.

    Example: perceptinit status runs/quickstart
    """
    from perceptinit.reports.status import status_table
    from perceptinit.results.runs import load_experiments

    console = new_console(markup=False)
    for experiment in load_experiments(runs):
        console.print(status_table(experiment))
        console.print()
