"""`perceptinit cache`: initialized towers, decoded images, shard indexes and copies of remote files."""

import typer

from perceptinit.cli.common import new_console, new_table
from perceptinit.cli.group import Group
from perceptinit.errors import list_some
from perceptinit.files.cache import Cache, cache_folder, foreign_files, kept_files

app = typer.Typer(
    cls=Group,
    help="Manage cached towers, decoded images, shard indexes and copies of remote files.",
    no_args_is_help=True,
)


@app.command("list")
def list_() -> None:
    """List cached towers with initializer, judgments, model, seed, 2AFC and size, and the size of each cache.

    Example: perceptinit cache list
    """
    cache = Cache(cache_folder())
    table = new_table(("entry", "initializer", "judgments", "model", "seed", "2AFC", "MiB"))
    for entry in cache.entries():
        parts = entry.manifest["parts"]
        metrics = entry.manifest["report"]["metrics"]
        score = next((v for k, v in metrics.items() if k.endswith("_after") and "2afc" in k), None)
        table.add_row(
            entry.folder.name[:12],
            parts["initializer"]["use"],
            _judgments_name(parts["judgments"]),
            parts["model"][0],
            str(parts["seed"]),
            "" if score is None else f"{score:.3f}",
            f"{entry.num_bytes / 2**20:.1f}",
        )
    new_console(markup=False).print(table)
    for kept in kept_files():
        typer.echo(f"{kept.title}: {kept.num_bytes / 2**20:,.1f} MiB")
    typer.echo(f"in {cache.folder}")


def _judgments_name(part: object) -> str:
    table = part[0] if isinstance(part, list) else part
    return table["use"] if isinstance(table, dict) else ("triplets" if part else "")


@app.command()
def clear() -> None:
    """Delete all cached towers, decoded images, shard indexes and copies of remote files, and no other files.

    Example: perceptinit cache clear
    """
    found = kept_files()
    if not found:
        typer.echo("The cache is empty.")
    for kept in found:
        num_bytes = kept.num_bytes
        for complaint in kept.clear():
            typer.echo(complaint, err=True)
        typer.echo(f"Removed {num_bytes / 2**20:,.1f} MiB of {kept.title}")
    left = [str(path.relative_to(cache_folder())) for path in foreign_files()]
    if left:
        typer.echo(f"Left {len(left):,} files that the cache did not write: {list_some(left)}")


@app.command()
def path() -> None:
    """Print the cache folder. Set PERCEPTINIT_CACHE to change it."""
    typer.echo(cache_folder())
