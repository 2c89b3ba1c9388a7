"""`perceptinit report`: a comparison as an HTML page."""

from pathlib import Path
from typing import Annotated

import typer

from perceptinit.cli.common import (
    At,
    Baseline,
    ColumnNames,
    Delta,
    Pairing,
    PlanFile,
    Runs,
    Unequal,
    table_options,
)


def report(
    runs: Runs,
    out: Annotated[Path | None, typer.Option(help="HTML file to write. Default: report.html.")] = None,
    at: At = None,
    unequal: Unequal = False,
    baseline: Baseline = None,
    delta: Delta = None,
    columns: ColumnNames = None,
    plan: PlanFile = None,
    pairing: Pairing = "seeds",
    examples: Annotated[bool, typer.Option(help="Show the sections of plug-ins.")] = True,
    figure: Annotated[
        Path | None,
        typer.Option(help="Write a figure of the main comparison, .pdf or .svg, instead of the page."),
    ] = None,
    methods: Annotated[bool, typer.Option("--methods", help="Print a methods paragraph instead.")] = False,
) -> None:
    """Write an HTML page with verdict, tables, curves, cost and settings.

    The page is a single file that works offline. Requires: pip install 'perceptinit[report]'. For papers,
    --figure draws the differences in the primary score with the intervals of the verdict, and --methods
    describes the experiment and its analysis as recorded.

    Example: perceptinit report runs/quickstart --out quickstart.html

    Example: perceptinit report runs/quickstart --figure differences.pdf --methods
    """
    from perceptinit.analysis.compare import compare
    from perceptinit.cli.compare import budget
    from perceptinit.reports.report import write_figure, write_methods, write_report
    from perceptinit.results.run_tables import load_results
    from perceptinit.verdict.headline import Judged

    loaded = load_results(runs, options=table_options(baseline, delta, columns, plan, pairing))
    judged = Judged.of(compare(loaded, budget(at, unequal), baseline))
    if methods:
        typer.echo(write_methods(judged))
    if figure:
        write_figure(judged, figure)
    if out is None and (methods or figure):
        return
    out = out or Path("report.html")
    write_report(judged, out, with_examples=examples)
    typer.echo(f"{out}: {out.stat().st_size / 1e6:.1f} MB")
