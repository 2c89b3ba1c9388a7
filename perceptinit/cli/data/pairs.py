"""Image-text sources in `perceptinit data list` and `download`: properties and download commands."""

from perceptinit.errors import UsageError
from perceptinit.pairs.published import published_pairs
from perceptinit.recipe.shipped import folder_of_shipped


def list_sources() -> list[tuple[str, ...]]:
    """Return name, number of pairs, size and license of each known image-text source."""
    return [
        (
            name,
            f"{each.num_pairs:,}",
            _gigabytes(each.size_bytes) if each.size_bytes else "",
            each.license,
        )
        for name, each in published_pairs().items()
    ]


def card(name: str) -> str:
    """Return the properties of a source, and the commands that download it."""
    source = published_pairs()[name]
    size = "size not stated"
    if source.size_bytes:
        size = f"{_gigabytes(source.size_bytes)} ({source.size_source})"
    return (
        f"{source.title}\n{source.num_pairs:,} pairs; {size}\nLicense: {source.license}\n"
        f"Cite: {source.citation}\n{source.how(folder_of_shipped())}"
    )


def refuse_pairs(name: str) -> None:
    """Raise UsageError for a source whose images other software downloads."""
    if name in published_pairs():
        raise UsageError(
            f"{name}: use the commands below, because perceptinit does not download it:\n{card(name)}"
        )


def _gigabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:,.{0 if size_bytes >= 1e9 else 1}f} GB"
