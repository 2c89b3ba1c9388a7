"""`perceptinit preregister`: what is expected and by which rule it is judged, written before the runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from perceptinit.cli.options import Overrides


def preregister(
    recipe: Annotated[Path, typer.Argument(help="Recipe file (TOML).")],
    set_: Overrides = None,
    out: Annotated[Path, typer.Option(help="Where the runs will be: OUT/<recipe>/.")] = Path(
        "runs"
    ),
    until_decided: Annotated[
        bool, typer.Option("--until-decided", help="Plan for `run --until-decided`.")
    ] = False,
    max_seeds: Annotated[
        int | None, typer.Option(min=2, help="With --until-decided: the most seeds.")
    ] = None,
    pilot: Annotated[
        list[Path] | None,
        typer.Option(
            help="Runs that tell how much seeds differ; by default those of the recipe that are there."
        ),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Write a new plan where there is another one.")
    ] = False,
) -> None:
    """Write the plan of an experiment before its runs: OUT/<recipe>/plan.json, and plan.md to read.

    It holds what is expected, contrasts, delta, seeds or stopping rule, the score that speaks, the settings
    of the arms, the runs that are there already, and a hash of it all. `compare` and `report` then say
    "as planned", or name each departure.

    Example: perceptinit preregister quickstart
    """
    from perceptinit.recipe.reading import load_recipe
    from perceptinit.reports.planning.plan import keep_plan, make_plan
    from perceptinit.reports.planning.prospects import doubts
    from perceptinit.reports.planning.text import plan_text
    from perceptinit.running.runner import plan_looks, refuse_beside

    if until_decided or max_seeds is not None:
        refuse_beside(until_decided, ())
        loaded, _ = next(plan_looks(recipe, set_ or (), max_seeds))
    else:
        loaded = load_recipe(recipe, set_ or ())
    for warning in (*loaded.warnings, *doubts(loaded)):
        typer.echo(f"warning: {warning}", err=True)
    plan = make_plan(loaded, out, pilot or ())
    told = keep_plan(plan, out / loaded.name, replaces=replace)
    typer.echo(plan_text(plan))
    typer.echo(told)
