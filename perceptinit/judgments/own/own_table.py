"""What judgments in a file of the user's have in common: its keys, its name, a card that says so, its splits."""

from __future__ import annotations

# N rows
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from perceptinit.configs import NonNegativeInt, Share
from perceptinit.errors import DataError, EmptySplitError
from perceptinit.files.columns import Coded, Columns
from perceptinit.images.background import colour_of
from perceptinit.judgments.forms.splits import check_shares
from perceptinit.judgments.own.dealing import Dealt, SplitBy, deal
from perceptinit.judgments.reading.image_columns import ImageRows
from perceptinit.judgments.reading.image_files import file_name, stimuli_in
from perceptinit.judgments.reading.split_column import SPLITS
from perceptinit.types import DataCard, Split, Stimuli, Triplets


class OwnTable(ABC):
    """A file of the user's; a child gives `what` and `load`, and says what must not cross splits."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        path: Path
        """The table: `.parquet`, `.xlsx`, `.json`, `.jsonl`, or CSV with any other ending."""
        images: Path | None = None
        """Folder that image paths are relative to; the table's own folder when not given."""
        image: str | None = None
        """File of what the table names: "{}.jpg", or "{:03d}.jpg" for whole numbers; None: the name itself."""
        split_by: SplitBy | None = None
        """What is in one split only: an "image" in any role (judgments whose images are in several splits are
        left out), an "anchor", a "person" (column `subject`) or a "row", that is a question. None: the
        column `group`, else the anchor. Not beside a column `split`."""
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
            file_name("1", self.image)

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

    @contextmanager
    def told(self) -> Iterator[None]:
        """Name the file in errors of what is made of its rows."""
        try:
            yield
        except DataError as error:
            path = str(self.config.path)
            if path in str(error):
                raise
            raise type(error)(f"{path}: {error}") from error

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

    @property
    @abstractmethod
    def splits(self) -> np.ndarray:
        """The split of each judgment, (N,); "" for those left out because their images are in several."""

    def deal(
        self,
        columns: Columns,
        images: ImageRows,
        source: str,
        *,
        group: Coded,
        role: str,
        hint: str = "",
    ) -> Dealt:
        """Return the splits of the rows of a table, as the keys say; see `dealing.deal`."""
        return deal(columns, images, self.config, source, group=group, role=role, hint=hint)
