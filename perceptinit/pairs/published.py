"""Well-known image-text sources: how many pairs they have, under which licence, and how they are got."""

from __future__ import annotations

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
    """A source as `published.toml` states it.

    name: also of the folder that holds it. size_bytes: of its shards, None where nobody says. commands: from
    nothing to shards; `{recipes}` stands for the folder of the recipes that come along.
    """

    name: str
    title: str
    num_pairs: int
    licence: str
    source_url: str
    citation: str
    note: str
    commands: tuple[str, ...]
    size_bytes: int | None = None

    def how(self, recipes: Path) -> str:
        """Return how it is got, as lines; recipes: the folder of those that come along."""
        commands = [command.replace("{recipes}", str(recipes)) for command in self.commands]
        return "\n".join([f"{self.note} Source: {self.source_url}", *commands])


@cache
def published_pairs() -> Mapping[str, PublishedPairs]:
    """Return the sources by name."""
    text = resources.files("perceptinit.pairs").joinpath("published.toml").read_text("utf-8")
    return {
        name: PublishedPairs(name=name, **{**table, "commands": tuple(table["commands"])})
        for name, table in tomllib.loads(text).items()
    }


def source_of(patterns: str | Sequence[str]) -> PublishedPairs | None:
    """Return the source that one of the files' folders is named after, None for any other."""
    given = [patterns] if isinstance(patterns, str) else patterns
    folders = {part.lower() for pattern in given for part in Path(pattern).parent.parts}
    return next((pairs for name, pairs in published_pairs().items() if name in folders), None)


def need_of(patterns: str | Sequence[str], problem: str) -> DataNeed:
    """Return what is needed of pairs in these files; problem: why they cannot be read, empty when they can."""
    source = source_of(patterns)
    first = without_credentials(patterns if isinstance(patterns, str) else patterns[0])
    return DataNeed(
        kind="pairs",
        name=source.name if source else first,
        place=first.rpartition("/")[0] or ".",
        problems=(problem,) if problem else (),
        num_bytes=source.size_bytes if source else None,
        licence=source.licence if source else "",
        how=f"perceptinit data list {source.name}" if source else "pairs of your own",
    )
