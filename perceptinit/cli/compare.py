"""`perceptinit compare`: arms against each other, with statistics and everything that is missing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perceptinit.errors import UsageError

if TYPE_CHECKING:
    from perceptinit.reports.compare import Budget


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs, or a recipe (TOML).")],
    at: Annotated[
        int | None, typer.Option(help="Compare at this many samples seen instead of at the end.")
    ] = None,
    unequal: Annotated[
        bool, typer.Option("--unequal", help="Allow ends at different samples seen (it is said).")
    ] = False,
    baseline: Annotated[str | None, typer.Option(help="The arm to compare with.")] = None,
    score: Annotated[
        list[str] | None,
        typer.Option(help="Only these scores, as patterns such as 'top1/*'; may be repeated."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Where a recipe's runs are: OUT/<recipe>/.")] = Path(
        "runs"
    ),
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV, unrounded.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, with values by seed.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="Print a LaTeX table (booktabs).")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
) -> None:
    """Compare arms at equal samples seen: means, paired differences with 95 % intervals, verdict.

    Interrupted, failed and missing runs are named and in no mean. Exit code 1 when nothing could be
    compared, 2 when the runs are not comparable.

    Example: perceptinit compare runs/quickstart --markdown
    """
    from rich.console import Console

    from perceptinit.reports import formats as written
    from perceptinit.reports.compare import compare as compare_runs
    from perceptinit.reports.tables import rich_table
    from perceptinit.results.runs import load_runs

    formats = {
        "--csv": (csv, written.csv_table),
        "--json": (json, written.json_table),
        "--latex": (latex, written.latex_table),
        "--markdown": (markdown, written.markdown_table),
    }
    chosen = [(name, render) for name, (is_chosen, render) in formats.items() if is_chosen]
    if len(chosen) > 1:
        raise UsageError(f"{chosen[0][0]} and {chosen[1][0]}: choose one format")
    comparison = compare_runs(load_runs(runs, out), budget(at, unequal), baseline)
    scores = comparison.matching(score or ())
    if chosen:
        typer.echo(chosen[0][1](comparison, scores), nl=False)
    else:
        Console(markup=False).print(rich_table(comparison, scores))
    if not comparison.scores:
        raise typer.Exit(1)


def budget(at: int | None, unequal: bool) -> Budget:
    """Return which ends the options mean; UsageError when they contradict each other."""
    if at is not None and unequal:
        raise UsageError("--at and --unequal: choose one")
    return at if at is not None else "unequal" if unequal else "equal"
