"""`perceptinit data check`: look at human judgments before training on them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perceptinit.cli.data import test_sets

if TYPE_CHECKING:
    from rich.table import Table

    from perceptinit.judgments.data_check import CheckReport

COLOURS = {"error": "red", "warning": "yellow", "note": "dim"}


def check(
    ctx: typer.Context,
    target: Annotated[
        str,
        typer.Argument(
            help="Name of judgments, or a file of a table or matrix; a test set, its folder, or a suite. Or an address."
        ),
    ],
    images: Annotated[
        Path | None, typer.Option(help="Folder of the images, for a file of your own.")
    ] = None,
    use: Annotated[
        str | None,
        typer.Option(help="Judgments that read the file. [default: table; rdm for a matrix]"),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="A key of its recipe table; may be repeated."
        ),
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Write example triplets with their votes to this .png.")
    ] = None,
    examples: Annotated[int, typer.Option(min=1, help="Triplets on the sheet.")] = 12,
    root: Annotated[str, typer.Option(help="Folder of the test sets.")] = "data/eval",
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", help="Decode no image: see that it is there, and score no baselines."
        ),
    ] = False,
) -> None:
    """Check judgments: counts, files, duplicates, leaks between splits, votes, human ceiling.

    Of a test set or a suite of them: which are complete, of the published size, and decodable.

    Exit code 1 when there is an error: something that spoils training or scores.

    Example: perceptinit data check judgments.csv --images photographs --sheet examples.png

    Example: perceptinit data check s3://bucket/judgments.csv --images s3://bucket/photographs

    Example: perceptinit data check materials --set root=data/materials
    """
    from rich.console import Console
    from rich.markup import escape

    from perceptinit.files.remote.addresses import is_remote
    from perceptinit.judgments.sources import as_table, build_judgments, is_judgments_file
    from perceptinit.recipe.tables import apply_overrides
    from perceptinit.test_sets.suite import is_test_set

    if is_test_set(target) or (is_remote(target) and not is_judgments_file(target)):
        test_sets.check_test_sets(target, root, decode=not quick)
        return
    from perceptinit.judgments.forms.conventions import list_conventions

    registry = ctx.obj.registry
    table = as_table(target, registry, use)
    if images is not None:
        table["images"] = str(images)
    judgments = build_judgments(table, registry, apply_overrides(table, set_ or ()))
    report = _check_with_progress(judgments, decode=not quick)
    console = Console(highlight=False)
    console.print(f"[bold]{escape(judgments.card.title)}[/bold]", soft_wrap=True)
    for name, value in list_conventions(judgments).items():
        line = f"{name.replace('_', ' ')}: {value}"
        console.print(escape(line), style="dim", soft_wrap=True)
    if report.splits:
        console.print(_table(report))
    for finding in report.findings:
        colour = COLOURS[finding.severity]
        console.print(
            f"[{colour}]{finding.severity}[/{colour}] {escape(finding.message)}", soft_wrap=True
        )
    if sheet is not None and report.triplets:
        from perceptinit.judgments.sheet import write_sheet

        split = next(iter(report.triplets))
        write_sheet(report.triplets[split], sheet, examples)
        console.print(f"Examples of '{split}': {escape(str(sheet))}", soft_wrap=True)
    if not report.ok:
        raise typer.Exit(1)
    console.print("No errors.")


def _check_with_progress(judgments: Any, *, decode: bool) -> CheckReport:
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress

    from perceptinit.judgments.data_check import check_judgments

    console = Console(stderr=True)
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        bar = progress.add_task("reading images", total=None)
        return check_judgments(
            judgments,
            decode=decode,
            progress=lambda done, total: progress.update(bar, completed=done, total=total),
        )


def _table(report: CheckReport) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for summary in report.splits:
        table.add_column(summary.split, justify="right")
    rows = {
        "judgments": [f"{s.num_judgments:,}" for s in report.splits],
        "votes": [f"{s.num_votes:,}" for s in report.splits],
        "images": [f"{s.num_images:,}" for s in report.splits],
        "anchors": [f"{s.num_anchors:,}" for s in report.splits],
        "groups": [f"{s.num_groups:,}" for s in report.splits],
        "ties": [f"{s.num_ties:,}" for s in report.splits],
        "'second' wins": [_share(s.p_second_wins) for s in report.splits],
        "human ceiling": [
            "{:.3f} to {:.3f}".format(*s.ceiling) if s.ceiling else "-" for s in report.splits
        ],
        "two people agree": [_share(s.pair_agreement) for s in report.splits],
        **_baseline_rows(report),
        "votes for 'second'": [_bars(s.histogram) for s in report.splits],
    }
    for name, cells in rows.items():
        table.add_row(name, *cells)
    return table


def _baseline_rows(report: CheckReport) -> dict[str, list[str]]:
    """Return, for each trivial model, its 2AFC with 95 % interval in each split."""
    names = dict.fromkeys(b.name for found in report.baselines.values() for b in found)
    rows = {}
    for name in names:
        by_split = {s: b for s, of in report.baselines.items() for b in of if b.name == name}
        rows[name] = [by_split[s.split].text if s.split in by_split else "-" for s in report.splits]
    return rows


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _bars(histogram: tuple[int, ...]) -> str:
    """Return a histogram as one character per bin, 0 % on the left and 100 % on the right."""
    heights = " ▁▂▃▄▅▆▇█"
    top = max(histogram) or 1
    # a bin with anything in it shows at least the lowest bar
    return "|" + "".join(heights[-(-8 * n // top)] for n in histogram) + "|"
