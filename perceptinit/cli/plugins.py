"""`perceptinit plugins`: what loaded, how many seconds its import took, and what did not."""

from __future__ import annotations

import typer


def plugins(ctx: typer.Context) -> None:
    """List the plug-ins with version, number of components and import time, and those that failed."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    found = ctx.obj
    table = Table(box=None, pad_edge=False, collapse_padding=True)
    for heading in ("plug-in", "distribution", "version", "module", "components", "seconds"):
        table.add_column(heading, overflow="fold")
    for info in found.loaded:
        table.add_row(
            info.name,
            info.distribution,
            info.version,
            info.module,
            str(info.num_components),
            f"{info.import_seconds:.3f}",
        )
    console = Console()
    console.print(table)
    for failure in found.failures:
        console.print(
            f"[red]not loaded[/red] {escape(failure.name)} ({escape(failure.distribution)}): {escape(failure.reason)}"
        )
    for sentence in found.registry.collisions():
        console.print(f"[red]refused[/red] {escape(sentence)}")
