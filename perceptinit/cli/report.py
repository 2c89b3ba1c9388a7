"""`perceptinit report`: a comparison as an HTML page."""

from pathlib import Path
from typing import Annotated

import typer

from perceptinit.cli.common import (
    At,
    Baseline,
    ColumnNames,
    Delta,
    DirectionOf,
    PlanFile,
    Runs,
    SpreadFrom,
    Target,
    table_options,
)
from perceptinit.errors import UsageError


def report(
    runs: Runs,
    out: Annotated[
        list[Path] | None,
        typer.Option(
            help="File to write: a page (.html), or a figure of the main comparison, or of models on all "
            "sets (.pdf or .svg); may be repeated. [default: report.html]"
        ),
    ] = None,
    at: At = None,
    baseline: Baseline = None,
    delta: Delta = None,
    columns: ColumnNames = None,
    plan: PlanFile = None,
    direction: DirectionOf = None,
    target: Target = None,
    spread_from: SpreadFrom = None,
    examples: Annotated[
        bool, typer.Option(help="Show examples of judgments, and the sections of plug-ins.")
    ] = True,
    methods: Annotated[bool, typer.Option("--methods", help="Print a methods paragraph instead.")] = False,
) -> None:
    """Write an HTML page with verdict, tables, curves, cost and settings.

    The page is a single file that works offline. Requires: pip install 'perceptinit[report]'. For papers, a
    figure shows the differences in the primary score with the intervals of the verdict, and --methods
    describes the experiment and its analysis as recorded.

    Example: perceptinit report runs/quickstart --out quickstart.html

    Example: perceptinit report runs/quickstart --out differences.pdf --methods
    """
    from perceptinit.analysis.compare import compare
    from perceptinit.cli.compare import budget
    from perceptinit.reports.report import FIGURES, write_figure, write_methods, write_report
    from perceptinit.results.run_tables import load_results
    from perceptinit.verdict.headline import Judged

    files = out or ([] if methods else [Path("report.html")])
    for file in files:
        if file.suffix not in (".html", *FIGURES):
            raise UsageError(f"{file}: expected a file name that ends with .html, .pdf or .svg")
    options = table_options(baseline, delta, columns, plan, direction, target, spread_from)
    loaded = load_results(runs, options=options)
    judged = Judged.of(compare(loaded, budget(at), baseline))
    if methods:
        typer.echo(write_methods(judged))
    for file in files:
        if file.suffix in FIGURES:
            write_figure(judged, file)
            continue
        write_report(judged, file, with_examples=examples)
        typer.echo(f"{file}: {file.stat().st_size / 1e6:.1f} MB")
