"""`perceptinit compare`: a table of arms, with statistics."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from perceptinit.cli.common import (
    At,
    Baseline,
    ColumnNames,
    Delta,
    PlanFile,
    Runs,
    RunsFolder,
    Texts,
    new_console,
    table_options,
)
from perceptinit.errors import UsageError

if TYPE_CHECKING:
    from perceptinit.analysis.compare import Budget
    from perceptinit.analysis.comparison import Comparison


def compare(
    runs: Runs,
    at: At = None,
    baseline: Baseline = None,
    delta: Delta = None,
    columns: ColumnNames = None,
    plan: PlanFile = None,
    score: Annotated[Texts, typer.Option(help="Score pattern, such as 'top1/*'; may be repeated.")] = None,
    out: RunsFolder = Path("runs"),
    format_: Annotated[
        Literal["csv", "json", "latex", "markdown", "runs"] | None,
        typer.Option(
            "--format",
            help="Print CSV or JSON, unrounded, a table for papers, or the scores of the runs as CSV, which "
            "compare reads. [default: a table]",
        ),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Print the conditions of each claim, instead of the table.")
    ] = False,
    when: Annotated[
        bool,
        typer.Option("--when", help="Print when each lead emerges during pretraining, instead of the table."),
    ] = False,
    exit_code: Annotated[
        bool,
        typer.Option("--exit-code", help="Exit with 0 if better, 10 equivalent, 11 worse, 12 undecided."),
    ] = False,
) -> None:
    """Compare arms at equal samples seen: means, differences with 95 % intervals, and a verdict.

    A table of scores has the columns arm, seed, measure and value, or is an export of wandb or MLflow.

    Interrupted, failed and missing runs are listed and excluded from means. Exit code 1: nothing to compare;
    2: the runs are not comparable. With --exit-code, the first answer of the headline also sets it: 0 better,
    10 equivalent, 11 worse, 12 undecided.

    Example: perceptinit compare runs/quickstart --format markdown

    Example: perceptinit compare results.csv --baseline random --delta 0.5
    """
    from perceptinit.analysis.compare import compare as compare_runs
    from perceptinit.reports import formats, tables
    from perceptinit.results.run_tables import load_results
    from perceptinit.verdict.when import find_when

    options = table_options(baseline, delta, columns, plan)
    loaded = load_results(runs, out, options)
    if loaded.source.layout and format_:
        typer.echo(loaded.source.layout, err=True)
    if format_ == "runs":
        typer.echo(formats.runs_table(loaded), nl=False)
        return
    comparison = compare_runs(loaded, budget(at), baseline)
    scores = comparison.matching(score or ())
    writers = {
        "csv": formats.csv_table,
        "json": formats.json_table,
        "latex": formats.latex_table,
        "markdown": formats.markdown_table,
    }
    if when:
        typer.echo(formats.when_text(find_when(comparison, scores), format_ or "table"), nl=False)
    elif explain:
        typer.echo("\n".join(tables.explain(comparison)))
    elif format_ is None:
        new_console(markup=False).print(tables.rich_table(comparison, scores))
    else:
        typer.echo(writers[format_](comparison, scores), nl=False)
    if not comparison.scores:
        raise typer.Exit(1)
    if exit_code:
        raise typer.Exit(find_exit_code(comparison))


def find_exit_code(comparison: Comparison) -> int:
    """Return the exit code of the first answer of the headline."""
    from perceptinit.analysis.questions import Outcome
    from perceptinit.verdict.headline import summary

    codes = {Outcome.BETTER: 0, Outcome.EQUIVALENT: 10, Outcome.EQUAL: 10, Outcome.WORSE: 11}
    found = summary(comparison)
    return codes.get(found.answers[0].outcome, 12) if found and found.answers else 12


def budget(at: str | None) -> Budget:
    """Return the budget that `--at` states: equal, unequal (`end`), or a number of samples seen."""
    if at in (None, "end"):
        return "equal" if at is None else "unequal"
    if not at.isdecimal():
        raise UsageError(f"--at {at}: expected a number of samples seen, or end")
    return int(at)
