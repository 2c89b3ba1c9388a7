"""`perceptinit list`: what there is to choose from."""

from __future__ import annotations

from typing import Annotated

import typer

from perceptinit.errors import UsageError
from perceptinit.registry import KINDS, unknown


def list_(
    ctx: typer.Context,
    kind: Annotated[str | None, typer.Argument(help="Only this kind, such as initializer.")] = None,
) -> None:
    """List the components that recipes can use, by kind.

    Example: perceptinit list judgments
    """
    from rich.console import Console
    from rich.table import Table

    plugins = ctx.obj
    if kind is not None and kind not in KINDS:
        kind = next((k for k, folder in KINDS.items() if folder == kind), kind)
        if kind not in KINDS:
            raise UsageError(unknown("no kind called", kind, KINDS))
    table = Table(box=None, pad_edge=False)
    for heading in ("kind", "name", "from", "summary"):
        table.add_column(heading, overflow="fold")
    for wanted in [kind] if kind else KINDS:
        for i, entry in enumerate(plugins.registry.of_kind(wanted)):
            table.add_row(
                wanted if i == 0 else "", entry.name, entry.plugin, entry.component.summary
            )
    Console().print(table)
    for sentence in plugins.registry.collisions():
        typer.echo(f"warning: {sentence}", err=True)
    if plugins.failures:
        typer.echo("Some plug-ins did not load: perceptinit plugins", err=True)
