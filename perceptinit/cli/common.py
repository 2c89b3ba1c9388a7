"""Options and terminal output that several commands share."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from perceptinit.errors import UsageError, printable
from perceptinit.registry import unknown

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from perceptinit.results.run_tables import TableOptions

Texts = list[str] | None  # an option that may be repeated


Submit = Annotated[
    Literal["slurm", "commands"] | None,
    typer.Option(
        "--submit", help="Submit missing runs with the settings in [jobs], or print a command for each."
    ),
]

RECIPE = "recipe"
RecipeFile = Annotated[Path, typer.Argument(help="Recipe file (TOML), or the name of a bundled recipe.")]
Runs = Annotated[
    list[Path],
    typer.Argument(
        help="Folders of runs, a recipe (TOML) with runs in runs/, a table of scores (CSV), or the word "
        "example for a table of this package."
    ),
]
RunsFolder = Annotated[Path, typer.Option("--out", help="Folder of runs: OUT/<recipe>/<arm>/seed<k>/.")]
Overrides = Annotated[
    Texts, typer.Option("--set", metavar="PATH=VALUE", help="Override a key, such as pretrain.epochs=1.")
]
Device = Annotated[str, typer.Option(help="A torch device, or auto.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Repeat finished and interrupted runs from the start.")]
Jobs = Annotated[int, typer.Option(min=1, help="Number of parallel runs, each in its own process.")]
UntilDecided = Annotated[
    bool, typer.Option("--until-decided", help="Add seeds until decided, up to verdict.max_seeds.")
]
Workers = Annotated[
    int | None, typer.Option(min=0, help="Decoding threads per process. [default: cores per process]")
]
At = Annotated[
    str | None,
    typer.Option(
        metavar="N|end",
        help="Compare at N samples seen, or all runs at their end. [default: the end, if it is the same]",
    ),
]
All = Annotated[bool, typer.Option("--all", help="Print every score, contrast, limit and note.")]
Delta = Annotated[
    float | None,
    typer.Option(
        help="For a table: largest difference that does not matter, in points or, for scores that are not "
        "shares, in their unit."
    ),
]
ColumnNames = Annotated[
    Texts,
    typer.Option(
        "--columns",
        metavar="FIELD=COLUMN,...",
        help="For a table: columns of its fields, such as arm=method. With run, not seed, arms are unpaired.",
    ),
]
PlanFile = Annotated[Path | None, typer.Option("--plan", help="For a table: plan.json of `preregister`.")]
DirectionOf = Annotated[
    Literal["higher", "lower"] | None,
    typer.Option("--direction", help="For a table: better values of a measure whose name does not say it."),
]
Baseline = Annotated[str | None, typer.Option(help="Arm with which the others are compared.")]
Target = Annotated[
    float | None,
    typer.Option(help="Value of the primary score that arms are compared with, in percent for shares."),
]
SpreadFrom = Annotated[
    Path | None,
    typer.Option(
        "--spread-from",
        metavar="RUNS",
        help="Earlier runs of the same code, whose spread is that of single runs.",
    ),
]
Format = Annotated[
    Literal["csv", "json", "latex", "markdown"] | None,
    typer.Option("--format", help="Print CSV or JSON, unrounded, or a table for papers. [default: a table]"),
]


def table_options(
    baseline: str | None,
    delta: float | None,
    columns: Sequence[str] | None,
    plan: Path | None,
    direction: Literal["higher", "lower"] | None,
    target: float | None = None,
    spread_from: Path | None = None,
) -> TableOptions:
    """Return the options of a table; UsageError for an invalid one."""
    from perceptinit.results.run_tables import TableOptions
    from perceptinit.results.table_layouts import FIELDS

    named = parse_columns(columns or (), (*FIELDS, "run"))
    run = named.pop("run", "")
    return TableOptions(
        baseline=baseline,
        delta=delta,
        columns=named | ({"seed": run} if run else {}),
        plan=plan,
        is_unpaired=bool(run),
        direction=direction,
        target=target,
        spread_from=str(spread_from) if spread_from else None,
    )


def parse_columns(texts: Sequence[str], fields: Sequence[str]) -> dict[str, str]:
    """Return columns by field from texts such as `arm=init,seed=config/seed,value=accuracy`.

    Raises:
        UsageError: If a text has another form, or a field is unknown.
    """
    columns = {}
    # a column may contain commas, such as acc,none
    for part in re.split(r",(?=[^,]*=)", ",".join(texts)) if texts else ():
        name, _, column = (piece.strip() for piece in part.partition("="))
        if name not in fields or not column:
            hint = unknown("no field called", name, fields) if column else "expected FIELD=COLUMN"
            raise UsageError(f"--columns {part}: {hint}")
        columns[name] = column
    return columns


def new_console(*, markup: bool = True) -> Console:
    """Return a console on standard output without automatic highlighting."""
    from rich.console import Console

    return Console(highlight=False, markup=markup)


def new_table(
    headings: Collection[str], rows: Iterable[Sequence[str]] = (), *, right: Collection[str] = ()
) -> Table:
    """Return a table whose cells wrap. The columns in `right` are right-aligned."""
    from rich.table import Column, Table

    columns = (
        Column(heading, overflow="fold", justify="right" if heading in right else "left")
        for heading in headings
    )
    table = Table(*columns, box=None, pad_edge=False, show_header=any(headings))
    for row in rows:
        table.add_row(*row)
    return table


def print_warnings(warnings: Iterable[object]) -> None:
    """Print warnings to standard error."""
    for warning in warnings:
        print(f"warning: {printable(str(warning))}", file=sys.stderr)


def accept_any_encoding() -> None:
    """Replace characters that standard output or error cannot encode by question marks."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
