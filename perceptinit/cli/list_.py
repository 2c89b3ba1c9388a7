"""`perceptinit list`: what there is to choose from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from perceptinit.companions import COMPANIONS
from perceptinit.components.plugin_manager import CORE, Plugins
from perceptinit.errors import UsageError
from perceptinit.recipe.shipped import summaries
from perceptinit.registry import KINDS, unknown

RECIPE = "recipe"


def list_(
    ctx: typer.Context,
    kind: Annotated[
        str | None, typer.Argument(help="Only this kind, such as initializer, or recipe.")
    ] = None,
) -> None:
    """List the components that recipes can use, by kind, and the recipes that come with perceptinit.

    Example: perceptinit list judgments
    """
    from rich.console import Console
    from rich.table import Table

    plugins = ctx.obj
    folders = {folder: k for k, folder in KINDS.items()} | {f"{RECIPE}s": RECIPE}
    kind = folders.get(kind or "", kind)
    if kind is not None and kind not in (*KINDS, RECIPE):
        raise UsageError(unknown("no kind called", kind, [*KINDS, RECIPE]))
    table = Table(box=None, pad_edge=False)
    for heading in ("kind", "name", "from", "summary"):
        table.add_column(heading, overflow="fold")
    for wanted in [kind] if kind else [*KINDS, RECIPE]:
        for i, row in enumerate(_rows(plugins, wanted)):
            table.add_row(wanted if i == 0 else "", *row)
    Console().print(table)
    for line in _absent_companions(plugins, kind):
        typer.echo(line)
    for sentence in plugins.registry.collisions():
        typer.echo(f"warning: {sentence}", err=True)
    if plugins.failures:
        typer.echo("Some plug-ins did not load: perceptinit plugins", err=True)


def _absent_companions(plugins: Plugins, kind: str | None) -> Iterator[str]:
    """Yield one line for each companion that is not installed and offers something of the kind."""
    present = {info.distribution for info in plugins.loaded}
    for companion in COMPANIONS:
        offers = {**companion.components, **({"verb": companion.verbs} if companion.verbs else {})}
        offers = {k: names for k, names in offers.items() if kind in (None, k)}
        if offers and companion.distribution not in present:
            listing = "; ".join(f"{k} {', '.join(names)}" for k, names in offers.items())
            yield f"not installed: {companion.distribution} ({listing})"


def _rows(plugins: Plugins, kind: str) -> list[tuple[str, str, str]]:
    """Return name, origin and summary of all that there is of a kind."""
    if kind == RECIPE:
        return [(name, CORE, summary) for name, summary in summaries().items()]
    return [(e.name, e.plugin, e.component.summary) for e in plugins.registry.of_kind(kind)]
