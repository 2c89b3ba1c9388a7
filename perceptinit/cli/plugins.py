"""`perceptinit plugins`: what loaded, how long it took, and what did not."""

from __future__ import annotations

import typer


def plugins(ctx: typer.Context) -> None:
    """List the plug-ins with version, number of components and import time, and those that failed."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    found = ctx.obj
    table = Table(box=None, pad_edge=False)
    for heading in ("plug-in", "distribution", "version", "module", "components", "import s"):
        table.add_column(heading, overflow="fold")
    for info in found.loaded:
        count = sum(
            1
            for e in found.registry.entries
            if e.plugin == info.name and _belongs(e.component.location[0], info.module)
        )
        table.add_row(
            info.name,
            info.distribution,
            info.version,
            info.module,
            str(count),
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


def _belongs(component_module: str, plugin_module: str) -> bool:
    """Say whether a built-in's component stands in the built-in module's folder (others have one module)."""
    return not plugin_module.startswith("perceptinit.") or component_module.startswith(
        f"{plugin_module}."
    )
