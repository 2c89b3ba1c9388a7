"""`perceptinit compare`: a table of arms, with statistics."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perceptinit.cli.options import At, Baseline, Csv, Json, Runs, RunsFolder, Texts, Unequal, choose_format
from perceptinit.cli.terminal import new_console
from perceptinit.errors import UsageError

if TYPE_CHECKING:
    from perceptinit.analysis.compare import Budget


def compare(
    runs: Runs,
    at: At = None,
    unequal: Unequal = False,
    baseline: Baseline = None,
    score: Annotated[Texts, typer.Option(help="Score pattern, such as 'top1/*'; may be repeated.")] = None,
    out: RunsFolder = Path("runs"),
    csv: Csv = False,
    json: Json = False,
    latex: Annotated[bool, typer.Option("--latex", help="Print a LaTeX table (booktabs).")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Print the conditions of each claim, instead of the table.")
    ] = False,
    when: Annotated[
        bool,
        typer.Option("--when", help="Print when each lead emerges during pretraining, instead of the table."),
    ] = False,
) -> None:
    """Compare arms at equal samples seen: means, paired differences with 95 % intervals, and a verdict.

    Interrupted, failed and missing runs are listed and excluded from means. Exit code 1: nothing to compare;
    2: the runs are not comparable.

    Example: perceptinit compare runs/quickstart --markdown
    """
    from perceptinit.analysis.compare import compare as compare_runs
    from perceptinit.reports import formats, tables
    from perceptinit.results.runs import load_runs
    from perceptinit.verdict.when import find_when

    form = choose_format(csv=csv, json=json, latex=latex, markdown=markdown)
    comparison = compare_runs(load_runs(runs, out), budget(at, unequal), baseline)
    scores = comparison.matching(score or ())
    if when and explain:
        raise UsageError("--when and --explain: choose one")
    if when:
        typer.echo(formats.when_text(find_when(comparison, scores), form), nl=False)
    elif explain:
        typer.echo("\n".join(tables.explain(comparison)))
    elif form == "table":
        new_console(markup=False).print(tables.rich_table(comparison, scores))
    else:
        typer.echo(getattr(formats, f"{form}_table")(comparison, scores), nl=False)
    if not comparison.scores:
        raise typer.Exit(1)


def budget(at: int | None, unequal: bool) -> Budget:
    """Return the value of `--at`, else "unequal" or "equal"; UsageError if both options are given."""
    if at is not None and unequal:
        raise UsageError("--at and --unequal: choose one")
    return at if at is not None else "unequal" if unequal else "equal"
