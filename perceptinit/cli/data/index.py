"""`perceptinit data index`: what lies where in tar shards, in one file beside them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from perceptinit.progress import Bars


def index(
    shards: Annotated[list[str], typer.Argument(help="Paths or addresses: a folder, braces, a glob.")],
    out: Annotated[Path | None, typer.Option(help="File to write (default: beside the shards).")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Read remote shards without asking.")] = False,
) -> None:
    """Note what lies where in tar shards, so that remote ones can be read at random places.

    Of local shards only the headers are read. Remote ones (s3://, gs://, hf://datasets/, https://) are read
    once, as a whole. The number of bytes and requests is printed first, and an interrupted call resumes.
    Where nothing may be written beside them, give --out, and name that file in the recipe (index = FILE).

    Example: perceptinit data index s3://bucket/cc3m

    Example: perceptinit data index "https://host/cc3m/{00000..00331}.tar" --out cc3m.index
    """
    from perceptinit.errors import UsageError
    from perceptinit.pairs.indexing import index_local, index_remote, open_shards

    planned = open_shards(shards)
    if isinstance(planned, list):
        typer.echo(f"{index_local(planned, out)}: the index of {len(planned):,} shards")
        return
    num_read = len(planned.pieces) - len(planned.unread)
    cost = (
        f"{len(planned.unread):,} shards, {planned.num_bytes / 1e9:,.3g} GB, will be read once in about "
        f"{planned.num_requests:,} requests"
    )
    cost += f"; {num_read:,} were read before" if num_read else ""
    typer.echo(cost)
    if not yes and not (sys.stdin.isatty() and typer.confirm("Go on?")):
        raise UsageError(f"{cost}: say --yes to have that done")
    with Bars() as bars:
        place = index_remote(planned, out, lambda: bars.advance("shards", len(planned.pieces)))
    typer.echo(f"{place}: the index of {len(planned.pieces):,} shards")
