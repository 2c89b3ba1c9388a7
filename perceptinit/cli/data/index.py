"""`perceptinit data index`: what lies where in tar shards, in one file beside them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer


def index(
    shards: Annotated[
        list[str], typer.Argument(help="Paths or addresses: a folder, braces, a glob.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="File to write (default: beside the shards).")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Read remote shards without asking.")] = False,
) -> None:
    """Note what lies where in tar shards, so that remote ones can be read at random places.

    Of local shards only the headers are read. Remote ones (s3://, gs://, hf://datasets/, https://) are read once, as
    a whole; how many bytes and requests that takes is said first, and an interrupted call goes on. Where nothing may be written beside them, give
    --out, and name that file in the recipe (index = FILE).

    Example: perceptinit data index s3://bucket/cc3m

    Example: perceptinit data index "https://host/cc3m/{00000..00331}.tar" --out cc3m.index
    """
    from perceptinit.errors import UsageError
    from perceptinit.packing.indexing import index_local, index_remote, open_shards

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
    with _progress(len(planned.pieces)) as report:
        place = index_remote(planned, out, report)
    typer.echo(f"{place}: the index of {len(planned.pieces):,} shards")


@contextmanager
def _progress(total: int) -> Any:
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("shards", total=total)
        report: Callable[[], None] = lambda: progress.advance(task)  # noqa: E731
        yield report
