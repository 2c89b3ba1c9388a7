"""What judgments in a table of the user's have in common: named after the file, with a card that says so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from perceptinit.errors import DataError
from perceptinit.types import DataCard, Split, Triplets


class OwnTable:
    """A component whose `Config` has `path`, the table; a child gives `what` and `load`."""

    what: ClassVar[str]
    """What the rows are, for the card's title."""

    def __init__(self, config: Any) -> None:
        self.config = config

    @property
    def name(self) -> str:
        return self.config.path.stem

    @property
    def card(self) -> DataCard:
        return DataCard(
            title=f"{self.what} of {self.config.path.name}",
            source_url=self.config.path.as_posix(),
            licence="not stated",
            citation="not stated",
        )

    def load(self, split: Split) -> Triplets:
        raise NotImplementedError

    def preflight(self) -> Iterator[str]:
        """Yield the first thing that is wrong with the table or its images."""
        try:
            self._read_first_split()
        except DataError as error:
            yield str(error)

    def _read_first_split(self) -> object:
        return self.load("train")
