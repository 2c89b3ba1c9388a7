"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from perceptinit.errors import UsageError

RecipeFile = Annotated[Path, typer.Argument(help="Recipe file (TOML), or the name of a bundled recipe.")]
Runs = Annotated[
    list[Path],
    typer.Argument(help="Folders of runs, or a recipe (TOML) whose runs are in runs/."),
]
RunsFolder = Annotated[Path, typer.Option("--out", help="Runs are in OUT/<recipe>/<arm>/seed<k>/.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Override a key, such as pretrain.epochs=1."),
]
Device = Annotated[str, typer.Option(help="torch device, or auto.")]
Fresh = Annotated[
    bool, typer.Option("--fresh", help="Do finished and interrupted runs again from the start.")
]
Jobs = Annotated[int, typer.Option(min=1, help="Runs at the same time, each in a process of its own.")]
Workers = Annotated[
    int | None,
    typer.Option(min=0, help="Threads of each process that decode images; by default its cores."),
]
At = Annotated[int | None, typer.Option(help="Compare at this many samples seen instead of at the end.")]
Unequal = Annotated[bool, typer.Option("--unequal", help="Allow ends at different samples seen, and say so.")]
Baseline = Annotated[str | None, typer.Option(help="The arm to compare with.")]
SetsRoot = Annotated[str, typer.Option(help="Folder of the test sets.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print CSV, unrounded.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, unrounded, with all that is known.")]


def choose_format(**formats: bool) -> str:
    """Return the name of the chosen format, "table" without one; UsageError for two."""
    chosen = [name for name, is_chosen in formats.items() if is_chosen]
    if len(chosen) > 1:
        raise UsageError(f"--{chosen[0]} and --{chosen[1]}: choose one format")
    return chosen[0] if chosen else "table"
