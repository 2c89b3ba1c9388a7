"""`perceptinit data download`: fetch a published data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from perceptinit.cli.data import recipe_data, test_sets
from perceptinit.cli.data.bars import bars
from perceptinit.cli.data.pairs import refuse_pairs
from perceptinit.cli.options import Overrides
from perceptinit.errors import UsageError


def download(
    ctx: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(help="Data set: perceptinit data list; or a test set or suite."),
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option(help="Recipe file, or the name of a recipe: all that it needs.")
    ] = None,
    set_: Overrides = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write. [default: $<NAME>_ROOT, else data/<name>]"),
    ] = None,
    part: Annotated[list[str] | None, typer.Option(help="Only this part; may be repeated.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Files fetched at a time.")] = 4,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show card, files and sizes; fetch nothing.")
    ] = False,
) -> None:
    """Fetch a data set: several files at a time, resumed after interruptions, checked, unpacked.

    The same command goes on where it stopped, and keeps what is done. Checksums are compared where
    the source gives or we recorded them; archives are checked as they are unpacked. What was fetched
    stands with its sums in downloads.json. By fetching you accept the licence that is shown.
    With --recipe: judgments and test sets that the recipe reads; of the rest it is said how they are got.

    Example: perceptinit data download nights --part table

    Example: perceptinit data download --recipe pi_clip_yfcc --dry-run
    """
    if (name is None) == (recipe is None):
        raise UsageError("name a data set, or a recipe with --recipe")
    if recipe is not None:
        recipe_data.download(recipe, set_ or (), workers, dry_run)
        return
    assert name is not None
    from perceptinit.test_sets.suite import is_test_set

    if is_test_set(name):
        test_sets.download_test_sets(name, out or Path("data/eval"), workers, dry_run)
        return
    from perceptinit.files.downloads import check_space, check_sums, fetch_all
    from perceptinit.judgments.data_sets import published_set
    from perceptinit.judgments.sources import default_folder

    refuse_pairs(name)
    found = published_set(ctx.obj.registry, name)
    files = found.choose(part or ())
    folder = out or default_folder(name)
    typer.echo(
        f"{found.card.title}\nLicence: {found.card.licence}\nCite: {found.card.citation}", err=True
    )
    known = sum(d.unpacked_bytes or d.num_bytes or 0 for d in files)
    size = f"about {known / 1e9:,.2f} GB" if known else "size not stated by the source"
    typer.echo(f"{len(files)} files, {size}, into {folder}", err=True)
    if dry_run:
        for file in files:
            typer.echo(f"{file.urls[0]}{' -> ' + file.member if file.member else ''}")
        return
    folder.mkdir(parents=True, exist_ok=True)
    check_space(files, folder)
    progress, report = bars()
    with progress:
        fetched = fetch_all(files, folder, num_workers=workers, progress=report)
    if not part:
        check_sums(folder, found.card)
    kept = len(files) - len(fetched)
    typer.echo(f"{folder}: {len(fetched)} files fetched" + (f", {kept} were there" if kept else ""))
    typer.echo(f"Next: perceptinit data check {name}")
