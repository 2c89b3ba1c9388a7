"""Published data sets of judgments, with their cards and downloads."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from perceptinit.errors import MissingPackageError, UsageError
from perceptinit.files.downloads import Download, HasDownloads, default_files
from perceptinit.judgments.forms.conventions import list_conventions
from perceptinit.registry import Entry, Registry, unknown
from perceptinit.types import DataCard

KIND = "judgments"


@dataclass(frozen=True, slots=True)
class PublishedSet:
    """A published data set of judgments."""

    name: str
    card: DataCard
    downloads: tuple[Download, ...]
    conventions: dict[str, str]

    @property
    def parts(self) -> list[str]:
        """Return the names of the downloadable parts, in the order of the files."""
        return list(dict.fromkeys(part for d in self.downloads for part in d.parts))

    def choose(self, parts: Sequence[str]) -> list[Download]:
        """Return the files of `parts`; by default those of the part "data", or all files if there is none.

        Raises:
            UsageError: If a part is unknown, or the set has no downloads.
        """
        if not self.downloads:
            raise UsageError(f"judgments '{self.name}' have no downloads. Source: {self.card.source_url}")
        for part in parts:
            if part not in self.parts:
                raise UsageError(unknown(f"judgments '{self.name}' have no part", part, self.parts))
        if not parts:
            return default_files(self.downloads)
        return [d for d in self.downloads if set(parts).intersection(d.parts)]


def published_sets(registry: Registry) -> list[PublishedSet]:
    """Return the published sets, sorted by name, except those of plug-ins with missing packages."""
    found = []
    for entry in registry.of_kind(KIND):
        with suppress(MissingPackageError):
            found.append(_find_published(entry))
    return [published for published in found if published]


def published_set(registry: Registry, name: str) -> PublishedSet:
    """Return a published set by name; UsageError if the judgments are not a published set."""
    published = _find_published(registry.get(KIND, name))
    if published is None:
        known = ", ".join(found.name for found in published_sets(registry))
        raise UsageError(f"judgments '{name}' are not a published data set. Known: {known}")
    return published


def _find_published(entry: Entry) -> PublishedSet | None:
    """Return the set if its class has a card and either downloads or a number of judgments."""
    cls = entry.load()
    card = getattr(cls, "card", None)
    downloads = tuple(cls.downloads) if isinstance(cls, HasDownloads) else ()
    if not isinstance(card, DataCard) or (card.num_judgments is None and not downloads):
        return None
    return PublishedSet(entry.name, card, downloads, list_conventions(cls))
