"""`perceptinit list`: available components and recipes."""

import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Annotated

import typer

from perceptinit.cli.common import RECIPE, new_console, new_table, print_warnings
from perceptinit.components.plugin_manager import CORE, Plugins
from perceptinit.errors import UsageError
from perceptinit.registry import COMPANIONS, KINDS, unknown

PLUGINS = "plugins"
ELLIPSIS = "..."

Row = tuple[str, str, str, str]


def list_(
    ctx: typer.Context,
    kind: Annotated[
        str | None, typer.Argument(help="Kind, such as initializer, or recipe or plugins.")
    ] = None,
) -> None:
    """List components by kind, the bundled recipes, or the plug-ins.

    A terminal shows one line for each, cut at its width. A pipe receives full lines with tabs between kind,
    name, plug-in and summary. The list of plug-ins has versions, import times and failures to load.

    Example: perceptinit list judgments
    """
    plugins = ctx.obj
    if kind == PLUGINS:
        _print_plugins(plugins)
        return
    folders = {folder: k for k, folder in KINDS.items()} | {f"{RECIPE}s": RECIPE}
    kind = folders.get(kind or "", kind)
    if kind is not None and kind not in (*KINDS, RECIPE):
        raise UsageError(unknown("no kind called", kind, [*KINDS, RECIPE, PLUGINS]))
    rows = _rows(plugins, [kind] if kind else [*KINDS, RECIPE])
    width = shutil.get_terminal_size().columns
    lines = align(rows, width) if sys.stdout.isatty() else map("\t".join, rows)
    typer.echo("\n".join(lines))
    for line in _absent_companions(plugins, kind):
        typer.echo(line, err=True)
    print_warnings(plugins.registry.collisions())
    if plugins.failures:
        typer.echo("Some plug-ins did not load. For details, run: perceptinit list plugins", err=True)


def _rows(plugins: Plugins, kinds: Sequence[str]) -> Iterator[Row]:
    """Yield kind, name, plug-in and summary of each component, and of each recipe if `kinds` includes it."""
    for kind in kinds:
        for entry in plugins.registry.of_kind(kind):
            yield kind, entry.name, entry.plugin, _one_line(entry.component.summary)
    if RECIPE in kinds:
        from perceptinit.recipe.shipped import summaries

        for name, summary in summaries().items():
            yield RECIPE, name, CORE, _one_line(summary)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def align(rows: Iterable[Row], width: int) -> Iterator[str]:
    """Yield lines of at most `width` characters: a block for each kind, with one line for each row."""
    for number, (kind, block) in enumerate(groupby(rows, itemgetter(0))):
        if number:
            yield ""
        table = [(kind, "from", "summary"), *(row[1:] for row in block)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        for cells in table:
            line = "  ".join(map(str.ljust, cells, widths)).rstrip()
            yield line if len(line) <= width else line[: width - len(ELLIPSIS)] + ELLIPSIS


def _absent_companions(plugins: Plugins, kind: str | None) -> Iterator[str]:
    """Yield one line for each companion that offers the kind but is not installed."""
    present = {info.distribution for info in plugins.loaded}
    for companion in COMPANIONS:
        offers = {k: names for k, names in companion.offers.items() if kind in (None, k)}
        if offers and companion.distribution not in present:
            listing = "; ".join(f"{k} {', '.join(names)}" for k, names in offers.items())
            yield f"not installed: {companion.distribution} ({listing})"


def _print_plugins(plugins: Plugins) -> None:
    """Print plug-ins with version, number of components and import time, and those that failed to load."""
    from rich.markup import escape

    rows = [
        (p.name, p.distribution, p.version, p.module, str(p.num_components), f"{p.import_seconds:.3f}")
        for p in plugins.loaded
    ]
    table = new_table(("plug-in", "distribution", "version", "module", "components", "seconds"), rows)
    table.collapse_padding = True
    console = new_console()
    console.print(table)
    for failure in plugins.failures:
        console.print(
            f"[red]not loaded[/red] {escape(failure.name)} ({escape(failure.distribution)}): "
            f"{escape(failure.reason)}"
        )
    for sentence in plugins.registry.collisions():
        console.print(f"[red]refused[/red] {escape(sentence)}")
