"""Image-text sources in `perceptinit data list` and `download`: what they are, and how to get them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perceptinit.cli.terminal import new_table
from perceptinit.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table


def is_pairs(name: str) -> bool:
    """Return whether a name is that of a known image-text source."""
    from perceptinit.pairs.published import published_pairs

    return name in published_pairs()


def sources() -> Table:
    """Return all image-text sources."""
    from perceptinit.pairs.published import published_pairs

    table = new_table(("image-text pairs", "pairs", "size", "licence"))
    for name, source in published_pairs().items():
        size = f"{source.size_bytes / 1e9:,.0f} GB" if source.size_bytes else ""
        table.add_row(name, f"{source.num_pairs:,}", size, source.licence)
    return table


def card(name: str) -> str:
    """Return all that is known of a source, and the commands that get it."""
    from perceptinit.pairs.published import published_pairs
    from perceptinit.recipe.shipped import folder_of_shipped

    source = published_pairs()[name]
    size = f"{source.size_bytes / 1e9:,.0f} GB" if source.size_bytes else "size not stated"
    return "\n".join(
        [
            source.title,
            f"{source.num_pairs:,} pairs; {size}",
            f"Licence: {source.licence}",
            f"Cite: {source.citation}",
            source.how(folder_of_shipped()),
        ]
    )


def refuse_pairs(name: str) -> None:
    """Raise UsageError for an image-text source, which no single server holds, with the way to get it."""
    if is_pairs(name):
        raise UsageError(f"{name}: its images are on many servers; img2dataset fetches them:\n{card(name)}")
