"""`perceptinit preregister`: the plan of an experiment, written before its runs."""

from pathlib import Path
from typing import Annotated

import typer

from perceptinit.cli.common import Overrides, RecipeFile, RunsFolder, UntilDecided, print_warnings


def preregister(
    recipe: RecipeFile,
    set_: Overrides = None,
    out: RunsFolder = Path("runs"),
    until_decided: UntilDecided = False,
    pilot: Annotated[
        list[Path] | None,
        typer.Option(help="Runs for estimating the variance between seeds. [default: those of the recipe]"),
    ] = None,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Allow a power below 20 % for a difference of delta.")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Replace an existing plan.")] = False,
) -> None:
    """Write the plan of an experiment before its runs: OUT/<recipe>/plan.json and plan.md.

    For runs of other software, use a TOML file with arms, seeds, baseline and [verdict].

    The plan contains the hypothesis, contrasts, delta, seeds or stopping rule, the primary score, settings
    of the arms, existing runs, and a hash. `compare` and `report` then print "as planned" or list each
    departure.

    Example: perceptinit preregister quickstart

    Example: perceptinit preregister results.toml
    """
    from perceptinit.recipe.reading import load_recipe
    from perceptinit.results.run_tables import TableOptions, load_results, read_table_plan
    from perceptinit.running.runner import plan_looks
    from perceptinit.verdict.plan import keep_plan, make_plan, make_table_plan
    from perceptinit.verdict.plan_text import plan_text
    from perceptinit.verdict.prospects import doubts

    overrides = set_ or ()
    if of_table := read_table_plan(recipe, overrides):
        options = TableOptions(columns=of_table.columns, baseline=of_table.baseline)
        plan = make_table_plan(of_table, load_results(pilot, out, options) if pilot else None, anyway=anyway)
        name = of_table.name
    else:
        loaded = next(plan_looks(recipe, overrides))[0] if until_decided else load_recipe(recipe, overrides)
        print_warnings((*loaded.warnings, *doubts(loaded)))
        plan = make_plan(loaded, out, pilot or (), anyway=anyway)
        name = loaded.name
    message = keep_plan(plan, out / name, replaces=replace)
    typer.echo(f"{plan_text(plan)}\n{message}")
