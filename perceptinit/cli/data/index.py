"""`perceptinit data index`: the positions of samples in tar shards, in one index file."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from perceptinit.progress import Bars


def index(
    shards: Annotated[list[str], typer.Argument(help="Paths or addresses: folders, braces or globs.")],
    out: Annotated[Path | None, typer.Option(help="Index file. [default: next to the shards]")] = None,
    cache_gb: Annotated[
        float | None,
        typer.Option(min=0, help="Disk space for remote shards. [default: half of the free space]"),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Read remote shards without confirmation.")] = False,
) -> None:
    """Index the samples of tar shards, for random access to remote shards.

    Only the headers of local shards are read. Remote shards (s3://, gs://, hf://datasets/, https://) are read
    once in full. The number of bytes and requests is printed first. Rerun the command to resume. Runs on any
    machine can use the index.

    If the folder of the shards is read-only, use --out and name the file in the recipe (index = FILE).

    Example: perceptinit data index s3://bucket/cc3m

    Example: perceptinit data index "https://host/cc3m/{00000..00331}.tar" --out cc3m.index
    """
    from perceptinit.errors import UsageError
    from perceptinit.pairs.indexing import index_local, index_remote, open_shards

    planned = open_shards(shards)
    if isinstance(planned, list):
        typer.echo(f"{index_local(planned, out)}: index of {len(planned):,} shards")
        return
    num_read = len(planned.pieces) - len(planned.unread)
    cost = (
        f"{len(planned.unread):,} shards, {planned.num_bytes / 1e9:,.3g} GB, will be read once in about "
        f"{planned.num_requests:,} requests"
    )
    cost += f"; {num_read:,} are already indexed" if num_read else ""
    typer.echo(cost)
    if not yes and not (sys.stdin.isatty() and typer.confirm("Continue?")):
        raise UsageError(f"{cost}. Confirm with --yes")
    with Bars() as bars:
        place = index_remote(planned, out, lambda: bars.advance("shards", len(planned.pieces)), cache_gb)
    typer.echo(f"{place}: index of {len(planned.pieces):,} shards")
