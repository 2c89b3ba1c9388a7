"""Seeds added one by one, until the verdict is decided or the most that the plan allows are there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from perceptinit.errors import UsageError
from perceptinit.recipe.reading import load_recipe
from perceptinit.recipe.recipe import Recipe

OPTION = "--until-decided"


def looks(
    path: Path, overrides: Sequence[str], max_seeds: int | None
) -> Iterator[tuple[Recipe, Sequence[int]]]:
    """Yield the recipe for every look at its runs, with the seeds that are new; the caller stops when decided.

    The first look has the recipe's own seeds, each one after it one more. Records keep seeds and
    `verdict.max_seeds` as overrides, so that every table made of them has intervals for that many looks.

    max_seeds: takes the place of the recipe's. Raises UsageError without one, with fewer than the recipe has
    seeds, or without a delta, and as `load_recipe` does.
    """
    plan = [*overrides, *([] if max_seeds is None else [f"verdict.max_seeds={max_seeds}"])]
    recipe = load_recipe(path, plan)
    last = _last(recipe)
    yield recipe, recipe.seeds
    seeds = recipe.seeds
    while len(seeds) < last:
        seeds = (*seeds, max(seeds) + 1)
        yield load_recipe(path, [*plan, f"seeds={list(seeds)}"]), seeds[-1:]


def refuse_beside(is_given: bool, others: Sequence[str]) -> None:
    """Raise UsageError for options of `run` that do not go with it, or need it."""
    if not is_given:
        raise UsageError(f"--max-seeds: only with {OPTION}")
    if others:
        raise UsageError(
            f"{OPTION} and {others[0]} do not go together: the runs would not be those that it looks at. "
            "Several looks need no option: run with --set verdict.max_seeds=N, look (perceptinit compare), "
            "and add a seed (--set seeds=[...])"
        )


def _last(recipe: Recipe) -> int:
    most, num = recipe.verdict.max_seeds, len(recipe.seeds)
    if recipe.verdict.delta is None:
        raise UsageError(
            f"{recipe.source}: {OPTION} needs [verdict] delta, the points within which a difference does not "
            "matter: without it, arms that do not differ are never decided"
        )
    if most is None:
        raise UsageError(f"{OPTION}: at how many seeds does it end? --max-seeds N")
    if num < 2 or most < num:
        raise UsageError(
            f"{OPTION}: the recipe has {num} seed{'s' if num > 1 else ''} and at most {most} are allowed; "
            "the first look needs 2 seeds, and the last one as many as the first"
        )
    return most
