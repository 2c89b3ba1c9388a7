"""`perceptinit validate`: all problems of a recipe, then its plan and cost."""

import shlex

import typer

from perceptinit.cli.common import Overrides, RecipeFile, new_console, new_table, print_warnings
from perceptinit.errors import RecipeError, printable


def validate(
    recipe: RecipeFile,
    set_: Overrides = None,
) -> None:
    """Check a recipe without running it: all problems, then arms, steps, files, memory and cost.

    Exit code 2: the recipe is invalid. Exit code 1: data or files are missing, so it cannot run yet.

    Example: perceptinit validate pi_clip_yfcc
    """
    from perceptinit.exporting import find_refusal
    from perceptinit.recipe.plan import plan_lines
    from perceptinit.recipe.reading import load_recipe
    from perceptinit.running.readiness import (
        find_judgments,
        find_obstacles,
        find_untrained_text,
        find_warnings,
        summarize_obstacles,
    )
    from perceptinit.running.resources import HEADINGS, resource_lines, resource_rows
    from perceptinit.running.tuning import find_same_data, tuning_lines
    from perceptinit.verdict.prospects import doubts, prospects
    from perceptinit.verdict.published import describe_published

    loaded = load_recipe(recipe, set_ or ())
    if wrong := [*find_same_data(loaded), *find_untrained_text(loaded)]:
        raise RecipeError(wrong, loaded.source)
    print_warnings((*loaded.warnings, *doubts(loaded)))
    console = new_console(markup=False)
    for line in plan_lines(loaded):
        console.print(printable(line), soft_wrap=True)
    console.print(new_table(HEADINGS, resource_rows(loaded), right=HEADINGS[1:]))
    after = (resource_lines, describe_published, prospects, tuning_lines)
    for line in (line for lines in after for line in lines(loaded)):
        console.print(printable(line), soft_wrap=True)
    settings = [part for text in set_ or () for part in ("--set", text)]
    if any(hasattr(spec.config, "path") or hasattr(spec.config, "root") for spec in find_judgments(loaded)):
        decode = shlex.join(["perceptinit", "data", "check", str(recipe), *settings])
        console.print(f"Images were not decoded. To check the images of judgments: {decode}", soft_wrap=True)
    if refusal := find_refusal(loaded):
        console.print(f"export: {printable(refusal)}", soft_wrap=True)
    obstacles = find_obstacles(loaded, [loaded.tune.evaluator] if loaded.tune else [])
    if not obstacles:
        warnings = find_warnings(loaded)
        for problem in warnings:
            console.print(f"warning: {printable(str(problem))}", soft_wrap=True)
        console.print("Ready to run, with warnings." if warnings else "Ready to run.")
        return
    console.print("The recipe is valid. Before it can run:")
    command = shlex.join(["perceptinit", "data", "download", str(recipe), *settings])
    for line in summarize_obstacles(loaded, obstacles, command):
        console.print(f"  {printable(line)}", soft_wrap=True)
    raise typer.Exit(1)
