"""`perceptinit cache`: initialized towers, decoded images, shard indexes and copies of remote files."""

from typing import Annotated, Any

import typer

from perceptinit.cli.common import new_console, new_table
from perceptinit.errors import list_some


def cache(
    clear: Annotated[
        bool, typer.Option("--clear", help="Delete all cached towers, images, indexes and copies.")
    ] = False,
) -> None:
    """List cached towers, decoded images, shard indexes and copies of remote files, with their sizes.

    The last line is the folder. Set PERCEPTINIT_CACHE to change it.

    Example: perceptinit cache --clear
    """
    from perceptinit.files.cache import Cache, cache_folder, kept_files

    if clear:
        _clear()
        return
    found = Cache(cache_folder())
    headings = ("entry", "initializer", "judgments", "model", "seed", "2AFC", "MiB")
    new_console(markup=False).print(new_table(headings, map(_describe, found.entries())))
    for kept in kept_files():
        typer.echo(f"{kept.title}: {kept.num_bytes / 2**20:,.1f} MiB")
    typer.echo(f"in {found.folder}")


def _describe(entry: Any) -> tuple[str, ...]:
    """Return the cells of a cached tower."""
    parts = entry.manifest["parts"]
    metrics = entry.manifest["report"]["metrics"]
    score = next((v for k, v in metrics.items() if k.endswith("_after") and "2afc" in k), None)
    return (
        entry.folder.name[:12],
        parts["initializer"]["use"],
        _judgments_name(parts["judgments"]),
        parts["model"][0],
        str(parts["seed"]),
        "" if score is None else f"{score:.3f}",
        f"{entry.num_bytes / 2**20:.1f}",
    )


def _judgments_name(part: object) -> str:
    table = part[0] if isinstance(part, list) else part
    return table["use"] if isinstance(table, dict) else ("triplets" if part else "")


def _clear() -> None:
    """Delete the files that the cache wrote, and no others."""
    from perceptinit.files.cache import cache_folder, foreign_files, kept_files

    found = kept_files()
    if not found:
        typer.echo("The cache is empty.")
    for kept in found:
        num_bytes = kept.num_bytes
        kept.clear()
        typer.echo(f"Removed {num_bytes / 2**20:,.1f} MiB of {kept.title}")
    left = [str(path.relative_to(cache_folder())) for path in foreign_files()]
    if left:
        typer.echo(f"Left {len(left):,} files that the cache did not write: {list_some(left)}")
