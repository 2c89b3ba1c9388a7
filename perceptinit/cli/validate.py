"""`perceptinit validate`: every problem at once, then what a run would do and cost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def validate(
    recipe: Annotated[Path, typer.Argument(help="Recipe file (TOML).")],
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="PATH=VALUE", help="Override a key, such as pretrain.epochs=1."
        ),
    ] = None,
    ready: Annotated[
        bool,
        typer.Option("--ready", help="Also fail (exit code 2) when data or files are missing."),
    ] = False,
) -> None:
    """Check a recipe without running it: all problems, then arms, steps, files, memory and cost.

    Exit code 2 when the recipe is wrong; absent data is told, and is an error with --ready.

    Example: perceptinit validate pi_clip_yfcc
    """
    from rich.console import Console

    from perceptinit.errors import RecipeError
    from perceptinit.recipe.plan import plan_lines
    from perceptinit.recipe.reading import load_recipe
    from perceptinit.reports.verdicts.prospects import doubts, prospects
    from perceptinit.running.runner import find_obstacles, find_warnings

    loaded = load_recipe(recipe, set_ or ())
    for warning in (*loaded.warnings, *doubts(loaded)):
        typer.echo(f"warning: {warning}", err=True)
    console = Console(highlight=False)
    for line in (*plan_lines(loaded), *prospects(loaded)):
        console.print(line, soft_wrap=True, markup=False)
    obstacles = find_obstacles(loaded)
    if not obstacles:
        warnings = find_warnings(loaded)
        for problem in warnings:
            console.print(f"warning: {problem}", soft_wrap=True, markup=False)
        console.print("It would run, but see the warnings." if warnings else "Ready to run.")
        return
    if ready:
        raise RecipeError(obstacles, loaded.source)
    console.print("The recipe is valid. Before it can run:")
    for obstacle in obstacles:
        console.print(f"  {obstacle}", soft_wrap=True, markup=False)
