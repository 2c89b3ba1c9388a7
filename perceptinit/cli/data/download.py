"""`perceptinit data download`: download a data set, or all data of a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perceptinit.cli.options import Overrides, Texts
from perceptinit.errors import UsageError

if TYPE_CHECKING:
    from perceptinit.registry import Registry
    from perceptinit.types import DataNeed


def download(
    ctx: typer.Context,
    name: Annotated[
        str | None, typer.Argument(help="Data set (perceptinit data list), test set or suite.")
    ] = None,
    recipe: Annotated[Path | None, typer.Option(help="Recipe: download all data that it needs.")] = None,
    set_: Overrides = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder. [default: $<NAME>_ROOT, else data/<name>; test sets: data/eval]"),
    ] = None,
    part: Annotated[Texts, typer.Option(help="Only this part; may be repeated.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show sizes and licenses only.")] = False,
) -> None:
    """Download a data set in parallel, verify its files and unpack its archives.

    Prints sizes and licenses first; by downloading, you accept the license. Rerun the command to resume.
    Files are verified with checksums from the source or from perceptinit, and archives during unpacking.
    downloads.json lists the files with checksums.

    --recipe downloads the judgments and test sets of a recipe, and prints how to get the other data.

    Example: perceptinit data download nights --part table

    Example: perceptinit data download --recipe pi_clip_yfcc --dry-run
    """
    from perceptinit.cli.data.fetching import fetch_needs

    if (name is None) == (recipe is None):
        raise UsageError("give either a data set or --recipe RECIPE")
    if name is not None:
        found = _named_needs(ctx.obj.registry, name, out, part or ())
        fetch_needs(found, dry_run=dry_run, must_fetch=True)
        if not dry_run:
            typer.echo(f"Next: perceptinit data check {name}")
        return
    assert recipe is not None
    from perceptinit.recipe.reading import load_recipe
    from perceptinit.running.readiness import find_needs, find_obstacles

    is_all_there = fetch_needs(find_needs(load_recipe(recipe, set_ or ())), dry_run=dry_run)
    if is_all_there and not dry_run:
        left = find_obstacles(load_recipe(recipe, set_ or ()))
        typer.echo("Next: " + ("; ".join(map(str, left)) if left else f"perceptinit run {recipe}"))


def _named_needs(registry: Registry, name: str, out: Path | None, parts: Sequence[str]) -> list[DataNeed]:
    """Return the `DataNeed`s of a suite, a test set, or published judgments."""
    from perceptinit.cli.data.pairs import refuse_pairs
    from perceptinit.judgments.sources import default_folder, published_set
    from perceptinit.running.readiness import fetch_published
    from perceptinit.test_sets.inventory import choose_set
    from perceptinit.test_sets.suite import is_test_set, members
    from perceptinit.types import DataNeed

    if is_test_set(name):
        root = str(out or "data/eval")
        return [need for key in members(name) for need in choose_set(key, root).needs()]
    refuse_pairs(name)
    found = published_set(registry, name)
    files = found.choose(parts)
    folder = out or default_folder(name)
    typer.echo(f"{found.card.title}\nCite: {found.card.citation}", err=True)
    need = DataNeed(
        kind="judgments",
        name=name,
        place=str(folder),
        problems=("not compared with its source",),
        num_bytes=sum(d.unpacked_bytes or d.num_bytes or 0 for d in files) or None,
        licence=found.card.licence,
        fetch=partial(fetch_published, files, folder, None if parts else found.card),
    )
    return [need]
