"""`perceptinit compare`: a table of arms, with statistics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from perceptinit.cli.common import (
    All,
    At,
    Baseline,
    ColumnNames,
    Delta,
    DirectionOf,
    PlanFile,
    Runs,
    RunsFolder,
    SpreadFrom,
    Target,
    Texts,
    new_console,
    print_warnings,
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
    target: Target = None,
    spread_from: SpreadFrom = None,
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
    all_: All = False,
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
    """Compare arms at equal samples seen: the answer, its limits, and the table of the primary score.

    With --all, every score, contrast, limit and note is printed.
    A table of scores has the columns arm, seed, measure and value, or is an export of wandb or MLflow.

    Interrupted, failed and missing runs are listed and excluded from means. Exit code 1: nothing to compare;
    2: the runs are not comparable. With --exit-code, the first answer of the verdict also sets it: 0 better,
    10 equivalent, 11 worse, 12 undecided, 13 if the plan was edited after it was written.

    Example: perceptinit compare example

    Example: perceptinit compare runs/quickstart --format markdown

    Example: perceptinit compare results.csv --baseline random --delta 0.5
    """
    from perceptinit.analysis.compare import compare as compare_runs
    from perceptinit.reports.formats import runs_table, when_text
    from perceptinit.reports.tables import explain as explain_claims
    from perceptinit.results.run_tables import load_results
    from perceptinit.verdict.evidence import describe_small
    from perceptinit.verdict.headline import Judged
    from perceptinit.verdict.when import NO_EVALUATIONS, find_when

    options = table_options(baseline, delta, columns, plan, direction, target, spread_from)
    loaded = load_results(runs, out, options)
    if loaded.source.layout and format_:
        typer.echo(loaded.source.layout, err=True)
    if format_ == "runs":
        typer.echo(runs_table(loaded), nl=False)
        return
    comparison = compare_runs(loaded, budget(at), baseline)
    judged = Judged.of(comparison)
    small = describe_small(delta or 0.0)
    if small and comparison.primary and comparison.primary.is_share:
        print_warnings([f"--delta: {small}"])
    if when:
        found = find_when(comparison, comparison.matching(score or ()))
        if not found:
            raise UsageError(NO_EVALUATIONS)
        typer.echo(when_text(found, format_ or "table"), nl=False)
    elif explain:
        typer.echo("\n".join(explain_claims(judged)))
    else:
        print_comparison(judged, format_, score or (), is_whole=all_)
    if not comparison.scores:
        raise typer.Exit(1)
    if exit_code:
        raise typer.Exit(find_exit_code(judged))


def print_comparison(
    judged: Judged,
    form: str | None = None,
    patterns: Sequence[str] = (),
    *,
    is_whole: bool = False,
    more: str = "--all",
) -> None:
    """Print the answer with the table of the primary score, or everything.

    Args:
        judged: Comparison to print.
        form: Format; None for the terminal.
        patterns: Patterns of the scores to print.
        is_whole: Whether everything is printed. Other formats than the terminal and Markdown always are.
        more: How to see everything.
    """
    from perceptinit.reports.formats import FORMATS, markdown_answer
    from perceptinit.reports.tables import rich_answer, rich_table

    comparison = judged.comparison
    is_short = not is_whole and form in (None, "markdown")
    scores = comparison.matching(patterns)
    if is_short and not patterns:
        scores = [score for score in scores if score == comparison.primary]
    if form is None:
        shown = rich_answer(judged, scores, more) if is_short else rich_table(judged, scores)
        new_console(markup=False).print(shown)
        return
    if form == "markdown" and not is_short:
        typer.echo("\n\n".join([*judged.answer, ""]))
    text = markdown_answer(judged, scores, more) if is_short else FORMATS[form](judged, scores)
    typer.echo(text, nl=False)


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
