"""Options and terminal output that several commands share."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from perceptinit.errors import UsageError, printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from perceptinit.results.run_tables import TableOptions

Texts = list[str] | None  # an option that may be repeated


On = Annotated[
    Literal["slurm", "commands"] | None,
    typer.Option(help="Submit missing runs with the settings in [jobs], or print a command for each."),
]

RecipeFile = Annotated[Path, typer.Argument(help="Recipe file (TOML), or the name of a bundled recipe.")]
Runs = Annotated[
    list[Path],
    typer.Argument(help="Folders of runs, a recipe (TOML) with runs in runs/, or a table of scores (CSV)."),
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
At = Annotated[int | None, typer.Option(help="Compare at this number of samples seen, not at the end.")]
Unequal = Annotated[bool, typer.Option("--unequal", help="Compare final scores at unequal samples seen.")]
Delta = Annotated[
    float | None,
    typer.Option(
        help="For a table: largest difference that does not matter, in points or, for scores that are not "
        "shares, in their unit."
    ),
]
ColumnNames = Annotated[
    Texts, typer.Option("--columns", metavar="FIELD=COLUMN,...", help="For a table: columns of its fields.")
]
PlanFile = Annotated[Path | None, typer.Option("--plan", help="For a table: plan.json of `preregister`.")]
Pairing = Annotated[
    Literal["seeds", "none"],
    typer.Option("--pairing", help="For a table: whether arms are paired if they have equal seeds."),
]
Baseline = Annotated[str | None, typer.Option(help="Arm with which the others are compared.")]
SetsRoot = Annotated[str, typer.Option(help="Folder of the test sets.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print CSV, unrounded.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, unrounded, with all details.")]


def table_options(
    baseline: str | None,
    delta: float | None,
    columns: Sequence[str] | None,
    plan: Path | None,
    pairing: str,
) -> TableOptions:
    """Return the options of a table; UsageError for an invalid one."""
    from perceptinit.results.run_tables import TableOptions, parse_columns

    return TableOptions(
        baseline=baseline,
        delta=delta,
        columns=parse_columns(columns or ()),
        plan=plan,
        is_unpaired=pairing == "none",
    )


def choose_format(**formats: bool) -> str:
    """Return the chosen format, by default "table"; UsageError for two formats."""
    chosen = [name for name, is_chosen in formats.items() if is_chosen]
    if len(chosen) > 1:
        raise UsageError(f"--{chosen[0]} and --{chosen[1]}: choose one format")
    return chosen[0] if chosen else "table"


def new_console(*, markup: bool = True) -> Console:
    """Return a console on standard output without automatic highlighting."""
    from rich.console import Console

    return Console(highlight=False, markup=markup)


def new_table(
    headings: Collection[str], rows: Iterable[Sequence[str]] = (), *, right: Collection[str] = ()
) -> Table:
    """Return a table whose cells wrap. The columns in `right` are right-aligned."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=any(headings))
    for heading in headings:
        justify = "right" if heading in right else "left"
        table.add_column(heading, overflow="fold", justify=justify)  # type: ignore[arg-type]
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
