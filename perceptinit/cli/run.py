"""`perceptinit run`: a recipe from start to table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def run(
    recipe: Annotated[Path, typer.Argument(help="Recipe file (TOML).")],
    arm: Annotated[list[str] | None, typer.Option(help="Only this arm; may be repeated.")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Only this seed; may be repeated.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for OUT/<recipe>/<arm>/seed<k>/.")] = Path(
        "runs"
    ),
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="PATH=VALUE", help="Override a key, such as pretrain.epochs=1."
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="torch device, or auto.")] = "auto",
    smoke: Annotated[
        bool,
        typer.Option("--smoke", help="Shrunk to seconds, on simulated data: does it work at all?"),
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Do finished and interrupted runs again from the start.")
    ] = False,
) -> None:
    """Run a recipe: every arm with every seed, then a table of scores.

    Finished runs are kept and interrupted ones continue, so the same command can be repeated.
    Exit codes: 0 done, 1 a run failed, 2 the recipe or the request is wrong.

    Example: perceptinit run recipes/quickstart.toml --seed 0 --set pretrain.epochs=1
    """
    from rich.console import Console

    from perceptinit.recipe import load_recipe
    from perceptinit.reports.summary import summary_table
    from perceptinit.runner import run_recipe

    loaded = load_recipe(recipe, set_ or ())
    if smoke:
        loaded = loaded.smoke()
    records = run_recipe(
        loaded, arms=arm or (), seeds=seed or (), out=out, device=device, fresh=fresh
    )
    console = Console()
    console.print()
    console.print(summary_table(records, loaded.baseline))
    console.print(
        f"Records, weights and events: {out / loaded.name}", soft_wrap=True, highlight=False
    )
