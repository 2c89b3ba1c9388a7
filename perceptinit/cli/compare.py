"""`perceptinit compare`: a table of arms, with statistics."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from perceptinit.cli.common import (
    At,
    Baseline,
    ColumnNames,
    Delta,
    DirectionOf,
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
    from perceptinit.verdict.headline import Judged


def compare(
    runs: Runs,
    at: At = None,
    baseline: Baseline = None,
    delta: Delta = None,
    columns: ColumnNames = None,
    plan: PlanFile = None,
    direction: DirectionOf = None,
    target: Annotated[
        float | None,
        typer.Option(help="Value of the primary score that arms are compared with, in percent for shares."),
    ] = None,
    spread_from: Annotated[
        Path | None,
        typer.Option(
            "--spread-from",
            metavar="RUNS",
            help="Earlier runs of the same code, whose spread is that of single runs.",
        ),
    ] = None,
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
        typer.Option(
            "--exit-code",
            help="Exit with 0 if better, 10 equivalent, 11 worse, 12 undecided, 13 if the plan was edited.",
        ),
    ] = False,
) -> None:
    """Compare arms at equal samples seen: means, differences with 95 % intervals, and a verdict.

    A table of scores has the columns arm, seed, measure and value, or is an export of wandb or MLflow.

    Interrupted, failed and missing runs are listed and excluded from means. Exit code 1: nothing to compare;
    2: the runs are not comparable. With --exit-code, the first answer of the verdict also sets it: 0 better,
    10 equivalent, 11 worse, 12 undecided, 13 if the plan was edited after it was written.

    Example: perceptinit compare example

    Example: perceptinit compare runs/quickstart --format markdown

    Example: perceptinit compare results.csv --baseline random --delta 0.5
    """
    from perceptinit.analysis.compare import compare as compare_runs
    from perceptinit.reports.formats import FORMATS, runs_table, when_text
    from perceptinit.reports.tables import explain as explain_claims, rich_table
    from perceptinit.results.run_tables import load_results
    from perceptinit.verdict.headline import Judged
    from perceptinit.verdict.when import find_when

    options = table_options(baseline, delta, columns, plan, direction)
    options = replace(options, target=target, spread_from=str(spread_from) if spread_from else None)
    loaded = load_results(runs, out, options)
    if loaded.source.layout and format_:
        typer.echo(loaded.source.layout, err=True)
    if format_ == "runs":
        typer.echo(runs_table(loaded), nl=False)
        return
    comparison = compare_runs(loaded, budget(at), baseline)
    scores = comparison.matching(score or ())
    judged = Judged.of(comparison)
    if when:
        typer.echo(when_text(find_when(comparison, scores), format_ or "table"), nl=False)
    elif explain:
        typer.echo("\n".join(explain_claims(judged)))
    elif format_:
        typer.echo(FORMATS[format_](judged, scores), nl=False)
    else:
        new_console(markup=False).print(rich_table(judged, scores))
    if not comparison.scores:
        raise typer.Exit(1)
    if exit_code:
        raise typer.Exit(find_exit_code(judged))


def find_exit_code(judged: Judged) -> int:
    """Return the exit code of the first answer of the verdict, or 13 if its plan was edited."""
    from perceptinit.analysis.questions import Outcome
    from perceptinit.results.preregistration import is_edited

    if is_edited(judged.comparison.runs.plan):
        return 13
    codes = {Outcome.BETTER: 0, Outcome.EQUIVALENT: 10, Outcome.WORSE: 11}
    return codes.get(judged.answers[0].outcome, 12) if judged.answers else 12


def budget(at: str | None) -> Budget:
    """Return the budget that `--at` states: equal, unequal (`end`), or a number of samples seen."""
    if at in (None, "end"):
        return "equal" if at is None else "unequal"
    if not at.isdecimal():
        raise UsageError(f"--at {at}: expected a number of samples seen, or end")
    return int(at)
