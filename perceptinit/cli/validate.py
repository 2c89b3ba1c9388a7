"""`perceptinit validate`: all problems of a recipe, then its work and cost."""

import shlex
from collections.abc import Iterable

import typer

from perceptinit.cli.common import Overrides, RecipeFile, new_console, new_table, print_warnings
from perceptinit.errors import RecipeError, printable


def validate(
    recipe: RecipeFile,
    set_: Overrides = None,
) -> None:
    """Check a recipe without running it: all problems, then arms, steps, memory and time on this machine.

    Exit code 2: the recipe is invalid. Exit code 1: data or files are missing, so it cannot run yet.

    Example: perceptinit validate pi_clip_yfcc
    """
    from perceptinit.exporting import find_refusal
    from perceptinit.recipe.cost import work_lines
    from perceptinit.recipe.reading import load_recipe
    from perceptinit.running.readiness import (
        find_judgments,
        find_obstacles,
        find_untrained_text,
        find_warnings,
        summarize_obstacles,
    )
    from perceptinit.running.resources import cost_lines, resource_lines, resource_table
    from perceptinit.running.tuning import find_same_data, tuning_lines
    from perceptinit.verdict.prospects import doubts, prospects
    from perceptinit.verdict.published import describe_published

    loaded = load_recipe(recipe, set_ or ())
    if wrong := [*find_same_data(loaded), *find_untrained_text(loaded)]:
        raise RecipeError(wrong, loaded.source)
    settings = [part for text in set_ or () for part in ("--set", text)]
    obstacles = find_obstacles(loaded, [loaded.tune.evaluator] if loaded.tune else [])
    doubtful = [*loaded.warnings, *doubts(loaded)]
    warnings = [] if obstacles else find_warnings(loaded)
    print_warnings(doubtful)
    work = list(work_lines(loaded))  # an error precedes all output
    console = new_console(markup=False)

    def show(lines: Iterable[str]) -> None:
        for line in lines:
            console.print(printable(line), soft_wrap=True)

    if obstacles:
        command = shlex.join(["perceptinit", "data", "download", str(recipe), *settings])
        show(["The recipe is valid. Before it can run:"])
        show(f"  {line}" for line in summarize_obstacles(loaded, obstacles, command))
    else:
        show(["Ready to run, with warnings." if warnings or doubtful else "Ready to run."])
    show(f"warning: {problem}" for problem in warnings)
    show(f"export: {line}" for line in filter(None, [find_refusal(loaded)]))
    show(["", *work])
    headings, rows = resource_table(loaded)
    console.print(new_table(headings, rows, right=headings[1:]))
    for lines in (cost_lines, resource_lines, describe_published, prospects, tuning_lines):
        show(lines(loaded))
    if any(hasattr(spec.config, "path") or hasattr(spec.config, "root") for spec in find_judgments(loaded)):
        decode = shlex.join(["perceptinit", "data", "check", str(recipe), *settings])
        show([f"Images were not decoded. To check the images of judgments: {decode}"])
    if obstacles:
        raise typer.Exit(1)
