"""`perceptinit status`: which runs are finished, going on, failed or missing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def status(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs, or a recipe (TOML).")],
    out: Annotated[Path, typer.Option(help="Where a recipe's runs are: OUT/<recipe>/.")] = Path(
        "runs"
    ),
) -> None:
    """Show every run of a folder: finished, running and how far, interrupted, failed and why.

    Works while runs go on, also those of other machines that share the folder.

    Example: perceptinit status runs/quickstart
    """
    from rich.console import Console

    from perceptinit.reports.status import status_table
    from perceptinit.results.runs import load_experiments

    console = Console(highlight=False, markup=False)
    for experiment in load_experiments(runs, out):
        console.print(status_table(experiment))
        console.print()
