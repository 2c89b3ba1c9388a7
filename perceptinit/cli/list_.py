"""`perceptinit list`: available components and recipes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from perceptinit.cli.terminal import new_console, new_table, print_warnings
from perceptinit.components.plugin_manager import CORE, Plugins
from perceptinit.errors import UsageError
from perceptinit.recipe.shipped import summaries
from perceptinit.registry import COMPANIONS, KINDS, unknown

RECIPE = "recipe"


def list_(
    ctx: typer.Context,
    kind: Annotated[str | None, typer.Argument(help="Kind, such as initializer, or recipe.")] = None,
) -> None:
    """List components by kind, and the bundled recipes.

    Example: perceptinit list judgments
    """
    plugins = ctx.obj
    folders = {folder: k for k, folder in KINDS.items()} | {f"{RECIPE}s": RECIPE}
    kind = folders.get(kind or "", kind)
    if kind is not None and kind not in (*KINDS, RECIPE):
        raise UsageError(unknown("no kind called", kind, [*KINDS, RECIPE]))
    table = new_table(("kind", "name", "from", "summary"))
    for wanted in [kind] if kind else [*KINDS, RECIPE]:
        rows = [(e.name, e.plugin, e.component.summary) for e in plugins.registry.of_kind(wanted)]
        if wanted == RECIPE:
            rows = [(name, CORE, summary) for name, summary in summaries().items()]
        for i, row in enumerate(rows):
            table.add_row(wanted if i == 0 else "", *row)
    new_console().print(table)
    for line in _absent_companions(plugins, kind):
        typer.echo(line)
    print_warnings(plugins.registry.collisions())
    if plugins.failures:
        typer.echo("Some plug-ins did not load. For details, run: perceptinit plugins", err=True)


def _absent_companions(plugins: Plugins, kind: str | None) -> Iterator[str]:
    """Yield one line for each companion that offers the kind but is not installed."""
    present = {info.distribution for info in plugins.loaded}
    for companion in COMPANIONS:
        offers = {k: names for k, names in companion.offers.items() if kind in (None, k)}
        if offers and companion.distribution not in present:
            listing = "; ".join(f"{k} {', '.join(names)}" for k, names in offers.items())
            yield f"not installed: {companion.distribution} ({listing})"
