"""Output of `perceptinit data check` for judgments: conventions, a table of splits, and findings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from perceptinit.cli.common import new_console, new_table

if TYPE_CHECKING:
    from rich.table import Table

    from perceptinit.judgments.data_check import CheckReport, SplitSummary
    from perceptinit.protocols import Judgments

COLOURS = {"error": "red", "warning": "yellow", "note": "dim"}
NUM_EXAMPLES = 12  # triplets on the sheet
ROWS: dict[str, Callable[[SplitSummary], str]] = {
    "judgments": lambda s: f"{s.num_judgments:,}",
    "votes": lambda s: f"{s.num_votes:,}",
    "images": lambda s: f"{s.num_images:,}",
    "anchors": lambda s: f"{s.num_anchors:,}",
    "groups": lambda s: f"{s.num_groups:,}",
    "ties": lambda s: f"{s.num_ties:,}",
    "'second' wins": lambda s: _share(s.p_second_wins),
    "human ceiling": lambda s: "{:.3f} to {:.3f}".format(*s.ceiling) if s.ceiling else "-",
    "two people agree": lambda s: _share(s.pair_agreement),
}


def print_report(judgments: Judgments, report: CheckReport, sheet: Path | None) -> None:
    """Print a report, and write example triplets to `sheet`."""
    from rich.markup import escape

    from perceptinit.judgments.forms.splits import list_conventions

    console = new_console()
    console.print(f"[bold]{escape(judgments.card.title)}[/bold]", soft_wrap=True)
    for name, value in list_conventions(judgments).items():
        line = f"{name.replace('_', ' ')}: {value}"
        console.print(escape(line), style="dim", soft_wrap=True)
    if report.splits:
        console.print(_table(report))
    for finding in report.findings:
        colour = COLOURS[finding.severity]
        console.print(f"[{colour}]{finding.severity}[/{colour}] {escape(finding.message)}", soft_wrap=True)
    if sheet is not None and report.triplets:
        from perceptinit.judgments.sheet import write_sheet  # imports torch

        split = next(iter(report.triplets))
        write_sheet(report.triplets[split], sheet, NUM_EXAMPLES)
        console.print(f"Examples of '{split}': {escape(str(sheet))}", soft_wrap=True)
    if report.ok:
        console.print("No errors.")


def _table(report: CheckReport) -> Table:
    """Return the counts, ceilings, baselines and votes of each split."""
    splits = [summary.split for summary in report.splits]
    baselines = {(s, b.name): b.text for s, found in report.baselines.items() for b in found}
    names = dict.fromkeys(name for _, name in baselines)
    rows = [
        *((name, *map(cell, report.splits)) for name, cell in ROWS.items()),
        *((name, *(baselines.get((split, name), "-") for split in splits)) for name in names),
        ("votes for 'second'", *(_bars(s.histogram) for s in report.splits)),
    ]
    return new_table(("", *splits), rows, right=splits)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _bars(histogram: tuple[int, ...]) -> str:
    """Return a histogram with one character for each bin, from 0 % to 100 %."""
    heights = " ▁▂▃▄▅▆▇█"
    top = max(histogram) or 1
    # rounds up, so a bin that is not empty has at least the lowest bar
    return "|" + "".join(heights[-(-8 * n // top)] for n in histogram) + "|"
