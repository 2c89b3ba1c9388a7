"""`perceptinit data list`: published data sets, and the test sets on disk."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from perceptinit.cli.common import new_console, new_table
from perceptinit.cli.data.test_sets import print_test_sets

if TYPE_CHECKING:
    from rich.table import Table

    from perceptinit.judgments.sources import PublishedSet


def list_(
    ctx: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME[,root=FOLDER]", help="Data set, test set or suite to describe in detail."
        ),
    ] = None,
) -> None:
    """List published data sets: judgments and image-text pairs, with size, human ceiling and license.

    Example: perceptinit data list nights

    Example: perceptinit data list paper29,root=data/eval
    """
    from perceptinit.cli.data import pairs
    from perceptinit.evaluating.asked import read_asked
    from perceptinit.recipe.tables import split_keys
    from perceptinit.test_sets.sets import is_test_set

    if name is not None and is_test_set(split_keys(name)[0]):
        print_test_sets(*read_asked([name], ctx.obj.registry))
    elif name is not None and name in pairs.published_pairs():
        typer.echo(pairs.card(name))
    else:
        from perceptinit.judgments.sources import published_set, published_sets

        registry = ctx.obj.registry
        table = _card(published_set(registry, name)) if name else _sets(published_sets(registry))
        console = new_console()
        console.print(table)
        if name is None:
            console.print("", pairs.sources(), sep="\n")


def _sets(sets: list[PublishedSet]) -> Table:
    rows = [
        (
            found.name,
            f"{found.card.num_judgments:,}" if found.card.num_judgments else "",
            f"{found.card.size_bytes / 1e9:.3g} GB" if found.card.size_bytes else "",
            f"{found.card.ceiling:.3f}" if found.card.ceiling else "",
            found.card.license,
            ", ".join(found.parts) or "none: see its source",
        )
        for found in sets
    ]
    return new_table(("name", "judgments", "size", "ceiling", "license", "parts to download"), rows)


def _card(found: PublishedSet) -> Table:
    from rich.markup import escape

    facts = {**asdict(found.card), "parts to download": ", ".join(found.parts), **found.conventions}
    known = {key.replace("_", " "): value for key, value in facts.items() if value}
    return new_table(("", ""), ((f"[bold]{key}[/bold]", escape(_text(v))) for key, v in known.items()))


def _text(value: object) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{k}: {v}" for k, v in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)
