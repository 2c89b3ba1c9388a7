"""`perceptinit data list`: published human-perception data sets with their cards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from perceptinit.cli.data import pairs, test_sets

if TYPE_CHECKING:
    from rich.table import Table

    from perceptinit.judgments.data_sets import PublishedSet


def list_(
    ctx: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(help="Only this set, with its whole card; or a suite of test sets."),
    ] = None,
    root: Annotated[str, typer.Option(help="Folder of the test sets.")] = "data/eval",
) -> None:
    """List published data sets: judgments, image-text pairs, size, human ceiling, licence, and how they are got.

    Example: perceptinit data list nights

    Example: perceptinit data list paper29 --root data/eval
    """
    if name is not None:
        from perceptinit.test_sets.suite import is_test_set

        if is_test_set(name):
            test_sets.list_test_sets(name, root)
            return
        if pairs.is_pairs(name):
            typer.echo(pairs.card(name))
            return
    from rich.console import Console

    from perceptinit.judgments.data_sets import published_set, published_sets

    registry = ctx.obj.registry
    table = _card(published_set(registry, name)) if name else _sets(published_sets(registry))
    console = Console(highlight=False)
    console.print(table)
    if name is None:
        console.print("", pairs.sources(), sep="\n")


def _sets(sets: list[PublishedSet]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("name", "judgments", "size", "ceiling", "licence", "parts to download"):
        table.add_column(heading, overflow="fold")
    for found in sets:
        card = found.card
        table.add_row(
            found.name,
            f"{card.num_judgments:,}" if card.num_judgments else "",
            f"{card.size_bytes / 1e9:.3g} GB" if card.size_bytes else "",
            f"{card.ceiling:.3f}" if card.ceiling else "",
            card.licence,
            ", ".join(found.parts) or "none: see its source",
        )
    return table


def _card(found: PublishedSet) -> Table:
    from dataclasses import asdict

    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    rows = {**asdict(found.card), "parts to download": ", ".join(found.parts), **found.conventions}
    for key, value in rows.items():
        if value:
            table.add_row(key.replace("_", " "), escape(_text(value)))
    return table


def _text(value: object) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{k}: {v}" for k, v in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)
