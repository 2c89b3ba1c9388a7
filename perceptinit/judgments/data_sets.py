"""Published data sets among the judgments: those with a card of their own and, perhaps, files to fetch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from perceptinit.errors import MissingPackageError, UsageError
from perceptinit.files.downloads import Download, HasDownloads, default_files
from perceptinit.judgments.forms.conventions import list_conventions
from perceptinit.registry import Entry, Registry, suggest
from perceptinit.types import DataCard

KIND = "judgments"


@dataclass(frozen=True, slots=True)
class PublishedSet:
    """A data set that was published: its name, card and the files that can be fetched."""

    name: str
    card: DataCard
    downloads: tuple[Download, ...]
    conventions: dict[str, str]

    @property
    def parts(self) -> list[str]:
        """Return the names of the parts that can be fetched, in the order of the files."""
        return list(dict.fromkeys(part for d in self.downloads for part in d.parts))

    def choose(self, parts: Sequence[str]) -> list[Download]:
        """Return the files of the parts; of "data" when none is named, or of all if there is no "data".

        Raises UsageError for an unknown part, and when nothing can be fetched.
        """
        if not self.downloads:
            raise UsageError(
                f"judgments '{self.name}' have no files that may be fetched without asking. Source: "
                f"{self.card.source_url}"
            )
        for part in parts:
            if part not in self.parts:
                raise UsageError(
                    f"judgments '{self.name}' have no part '{part}'.{suggest(part, self.parts)} "
                    f"Parts: {', '.join(self.parts)}"
                )
        if not parts:
            return default_files(self.downloads)
        return [d for d in self.downloads if set(parts).intersection(d.parts)]


def published_sets(registry: Registry) -> list[PublishedSet]:
    """Return the published sets, sorted by name; those of plug-ins whose packages are absent are left out."""
    found = []
    for entry in registry.of_kind(KIND):
        try:
            published = _find_published(entry)
        except MissingPackageError:
            continue
        if published:
            found.append(published)
    return found


def published_set(registry: Registry, name: str) -> PublishedSet:
    """Return a published set by name; UsageError when there is none, with those there are."""
    published = _find_published(registry.get(KIND, name))
    if published is None:
        known = ", ".join(found.name for found in published_sets(registry))
        raise UsageError(f"judgments '{name}' are no published data set. Known: {known}")
    return published


def _find_published(entry: Entry) -> PublishedSet | None:
    """Return the set if its class, without any files, has a card and counts judgments or has downloads.

    Tables of one's own have a card once they are given a file; controls ask no people.
    """
    cls = entry.load()
    card = getattr(cls, "card", None)
    downloads = tuple(cls.downloads) if isinstance(cls, HasDownloads) else ()
    if not isinstance(card, DataCard) or (card.num_judgments is None and not downloads):
        return None
    return PublishedSet(entry.name, card, downloads, list_conventions(cls))
