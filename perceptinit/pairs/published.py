"""Well-known image-text sources: sizes, licenses and download instructions."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from perceptinit.errors import without_credentials
from perceptinit.types import DataNeed


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedPairs:
    """A source in `published.toml`.

    name: Name of the source and of its folder. size_bytes, size_source: Size of its shards, if known, and its
    origin. commands: Commands that download the source and write shards; `{recipes}` is the folder
    of the bundled recipes.
    """

    name: str
    title: str
    num_pairs: int
    license: str
    source_url: str
    citation: str
    note: str
    commands: tuple[str, ...]
    size_bytes: int | None = None
    size_source: str = ""

    def how(self, recipes: Path) -> str:
        """Return download instructions as lines; `recipes` is the folder of the bundled recipes."""
        lines = [f"{self.note} Source: {self.source_url}", *self.commands]
        return "\n".join(lines).replace("{recipes}", str(recipes))


@cache
def published_pairs() -> Mapping[str, PublishedPairs]:
    """Return the sources by name."""
    text = resources.files("perceptinit.pairs").joinpath("published.toml").read_text("utf-8")
    return {
        name: PublishedPairs(name=name, **{**table, "commands": tuple(table["commands"])})
        for name, table in tomllib.loads(text).items()
    }


def source_of(patterns: str | Sequence[str]) -> PublishedPairs | None:
    """Return the source whose name occurs as a folder in the file paths; None if there is none."""
    given = [patterns] if isinstance(patterns, str) else patterns
    folders = {part.lower() for pattern in given for part in Path(pattern).parent.parts}
    return next((pairs for name, pairs in published_pairs().items() if name in folders), None)


def need_of(patterns: str | Sequence[str], problem: str) -> DataNeed:
    """Return a `DataNeed` for these files; `problem` is the error if they cannot be read."""
    source = source_of(patterns)
    first = without_credentials(patterns if isinstance(patterns, str) else patterns[0])
    return DataNeed(
        kind="pairs",
        name=source.name if source else first,
        place=first.rpartition("/")[0] or ".",
        problems=(problem,) if problem else (),
        num_bytes=source.size_bytes if source else None,
        license=source.license if source else "",
        how=f"perceptinit data list {source.name}" if source else "your own pairs",
    )
