"""`perceptinit data list`: published data sets, and the test sets on disk."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from perceptinit.cli.common import new_console, new_table
from perceptinit.cli.data.test_sets import print_test_sets

if TYPE_CHECKING:
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
        console = new_console()
        if name:
            console.print(new_table(("", ""), _list_facts(published_set(registry, name))))
            return
        sets = map(_describe, published_sets(registry))
        sources = pairs.list_sources()
        headings = ("name", "judgments", "size", "ceiling", "license", "parts to download")
        console.print(new_table(headings, sets))
        console.print("", new_table(("image-text pairs", "pairs", "size", "license"), sources), sep="\n")


def _describe(found: PublishedSet) -> tuple[str, ...]:
    """Return the cells of a data set."""
    card = found.card
    return (
        found.name,
        f"{card.num_judgments:,}" if card.num_judgments else "",
        f"{card.size_bytes / 1e9:.3g} GB" if card.size_bytes else "",
        f"{card.ceiling:.3f}" if card.ceiling else "",
        card.license,
        ", ".join(found.parts) or "none: see its source",
    )


def _list_facts(found: PublishedSet) -> list[tuple[str, str]]:
    """Return the name and value of each known fact about a data set."""
    from rich.markup import escape

    facts = {**asdict(found.card), "parts to download": ", ".join(found.parts), **found.conventions}
    known = {key.replace("_", " "): value for key, value in facts.items() if value}
    return [(f"[bold]{key}[/bold]", escape(_text(value))) for key, value in known.items()]


def _text(value: object) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{k}: {v}" for k, v in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)
