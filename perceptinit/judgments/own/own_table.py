"""What judgments in a file of the user's have in common: its keys, its name, a card that says so, its splits."""

from __future__ import annotations

# N rows
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from perceptinit.configs import NonNegativeInt, Share
from perceptinit.errors import DataError, EmptySplitError
from perceptinit.images.background import colour_of
from perceptinit.judgments.forms.splits import assign_splits, check_shares
from perceptinit.judgments.reading.columns import Columns
from perceptinit.judgments.reading.image_files import stimuli_in
from perceptinit.judgments.reading.split_column import SPLITS, read_splits
from perceptinit.types import DataCard, Split, Stimuli, Triplets


class OwnTable(ABC):
    """A file of the user's; a child gives `what` and `load`, and says what must not cross splits."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        path: Path
        """The table: `.parquet`, or CSV with any other ending."""
        images: Path | None = None
        """Folder that image paths are relative to; the table's own folder when not given."""
        val_share: Share = 0.1
        """Share of what is dealt to splits that becomes `val`; without effect with a column `split`."""
        test_share: Share = 0.1
        """Share of what is dealt to splits that becomes `test`; without effect with a column `split`."""
        seed: NonNegativeInt = 0
        """Names the draws, of splits and of sides. Not the run's seed: all runs share them."""
        background: str | None = None
        """Colour behind the transparent parts of images, a CSS name or `#rrggbb`; white unless given."""

        def __post_init__(self) -> None:
            check_shares(self.val_share, self.test_share)
            colour_of(self.background)

    def __init__(self, config: Any) -> None:
        self.config = config

    @property
    @abstractmethod
    def what(self) -> str:
        """What the file holds, for the card's title."""

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

    @property
    def folder(self) -> Path:
        """The folder of the images."""
        return self.config.images or self.config.path.parent

    def stimuli(self, names: Sequence[str]) -> Stimuli:
        """Return the images of these names, on the background that the recipe states."""
        return stimuli_in(self.folder, names, colour_of(self.config.background))

    @abstractmethod
    def load(self, split: Split) -> Triplets:
        """Return the triplets of a split; DataError for a wrong row or image, or an empty split."""

    def preflight(self) -> Iterator[str]:
        """Yield the first thing that is wrong with the file or its images."""
        try:
            self.read_first_split()
        except DataError as error:
            yield str(error)

    def read_first_split(self) -> object:
        """Read the first split that is not empty: a file may be for measuring only."""
        for split in SPLITS[:-1]:
            with suppress(EmptySplitError):
                return self.load(split)
        return self.load(SPLITS[-1])

    def deal(
        self, columns: Columns, groups: Sequence[str], role: str, source: str, hint: str = ""
    ) -> np.ndarray:
        """Return the split of each row (N,): of column `split` where there is one, else dealt by group.

        groups: what must not be in two splits, one name per row; messages call it `role`, with `hint`
        (see `read_splits`). source: names the draw. Raises DataError as `read_splits` does.
        """
        if "split" in columns.cells:
            return read_splits(columns, groups, role, hint)
        c = self.config
        shares = {"val_share": c.val_share, "test_share": c.test_share}
        return assign_splits(groups, c.seed, "judgments", source, "split", **shares)
