"""`perceptinit plugins`: loaded plug-ins, and failures to load."""

import typer

from perceptinit.cli.common import new_console, new_table


def plugins(ctx: typer.Context) -> None:
    """List plug-ins with version, number of components and import time, and plug-ins that failed to load."""
    from rich.markup import escape

    found = ctx.obj
    table = new_table(("plug-in", "distribution", "version", "module", "components", "seconds"))
    table.collapse_padding = True
    for info in found.loaded:
        table.add_row(
            info.name,
            info.distribution,
            info.version,
            info.module,
            str(info.num_components),
            f"{info.import_seconds:.3f}",
        )
    console = new_console()
    console.print(table)
    for failure in found.failures:
        console.print(
            f"[red]not loaded[/red] {escape(failure.name)} ({escape(failure.distribution)}): "
            f"{escape(failure.reason)}"
        )
    for sentence in found.registry.collisions():
        console.print(f"[red]refused[/red] {escape(sentence)}")
