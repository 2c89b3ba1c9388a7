"""What judgments in a table of the user have in common: keys, card, splits, and the rows that count."""

from __future__ import annotations

# N rows
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from perceptinit.errors import DataError, EmptySplitError, problems_of
from perceptinit.files.columns import Coded, Columns
from perceptinit.files.tables import read_table
from perceptinit.images.background import colour_of
from perceptinit.judgments.ceilings import DerivedAnswers
from perceptinit.judgments.forms.splits import (
    SPLITS,
    RowSplits,
    SplitBy,
    SplitConfig,
    name_sets,
    read_splits,
    split_names,
)
from perceptinit.judgments.image_files import ImageRows, file_name, read_images, stimuli_in
from perceptinit.judgments.own.layouts import rename_columns
from perceptinit.types import DataCard, Split, Stimuli, Triplets, Unit

# a column that says why a row does not count, such as a catch trial; empty when it does
EXCLUDED = "excluded"
NOT_EXCLUDED = ("", "0", "false", "no", "none")


@dataclass(frozen=True, slots=True)
class Rows:
    """The judgments of a table, which can be selected by row, and the split of each, (N,)."""

    judgments: Any
    splits: np.ndarray


class OwnTable(ABC):
    """A table of the user; a child gives `what`, `draw_name` and `read`.

    `load` is for judgments that are `NamedTriplets`; a child with others overrides it.
    Rows with a filled cell in the column `excluded` are left out, and columns of other programs are renamed
    (see `layouts`).
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(SplitConfig):
        path: Path
        """The table: CSV, or by its suffix Parquet, JSON or .xlsx."""
        images: Path | None = None
        """Folder that image paths are relative to; the table's own folder when not given."""
        image: str | None = None
        """File of what the table names: "{}.jpg", or "{:03d}.jpg" for whole numbers; None: the name itself."""
        split_by: SplitBy | None = None
        """What is in one split only: an "image" in any role (judgments whose images are in several splits are
        left out), an "anchor", a "person" (column `subject`) or a "row", that is a question. None: the
        column `group`, else the anchor. Not beside a column `split`."""

        def __post_init__(self) -> None:
            SplitConfig.__post_init__(self)  # a class with slots has no super() here
            file_name("1", self.image)

    config: Any
    what: ClassVar[str]
    """What the file holds, for the card's title."""
    draw_name: ClassVar[str]
    """Names the draw of splits."""

    def __init__(self, config: Any) -> None:
        self.config = config

    @abstractmethod
    def read(self, columns: Columns) -> Rows:
        """Return the judgments of a table and their splits; DataError names wrong rows and images."""

    def load(self, split: Split) -> Triplets:
        """Return the triplets of a split; DataError for a wrong row or image, or an empty split."""
        return self.select(split).triplets(self.stimuli)

    @cached_property
    def rows(self) -> Any:
        """All judgments; a recipe that names a table in five places has it read once."""
        return _read_rows(type(self), self.config, read_table(self.config.path))

    @property
    def splits(self) -> np.ndarray:
        """The split of each judgment, (N,); "" for those left out because their images are in several."""
        return self.rows.splits

    def select(self, split: Split) -> Any:
        """Return the judgments of a split; EmptySplitError when it has none."""
        rows = np.flatnonzero(self.splits == split)
        if not rows.size:
            counts = ", ".join(f"{(self.splits == s).sum()} {s}" for s in SPLITS)
            raise EmptySplitError(f"{self.config.path}: no judgments in split '{split}' (there are {counts})")
        return self.rows.judgments.select(rows)

    @property
    def name(self) -> str:
        return self.config.path.stem

    @property
    def card(self) -> DataCard:
        return own_card(f"{self.what} of {self.config.path.name}", self.config.path)

    @property
    def folder(self) -> Path:
        """The folder of the images."""
        return self.config.images or self.config.path.parent

    def stimuli(self, names: Sequence[str]) -> Stimuli:
        """Return the images of these names, on the background that the recipe states."""
        return stimuli_in(self.folder, names, colour_of(self.config.background))

    def read_images(self, columns: Columns, roles: Sequence[str], **options: Any) -> ImageRows:
        """Return the images in some columns of the table; see `image_files.read_images`."""
        return read_images(columns, roles, self.folder, self.config.image, **options)

    def split_rows(
        self, columns: Columns, images: ImageRows, group: Coded, role: str, hint: str = ""
    ) -> RowSplits:
        """Return the splits of a table's rows: those of its column `split`, or else drawn by seed.

        Args:
            columns: The table.
            images: The images of its rows.
            group: What must not be in two splits unless `split_by` says so.
            role: What messages call the group.
            hint: What else the user may do about a group in two splits, such as ", or ...".

        Raises:
            DataError: For unknown splits, groups in two splits, `split_by` beside a column `split` or
                `group`, and when there is no column `subject` to split by.
        """
        unit: Unit = "anchor" if role != "group" else "group"
        by = self.config.split_by
        for name in ("split", "group"):
            if by and name in columns:
                raise DataError(
                    f"{columns.path}: column '{name}' and split_by = \"{by}\" both say what is held out; "
                    "keep one"
                )
        if "split" in columns:
            return RowSplits(read_splits(columns, group, role, hint), group, unit)
        if by == "image":
            of_image = split_names(images.names, self.config, self.draw_name)[images.index]
            splits = np.where((of_image == of_image[0]).all(axis=0), of_image[0], "")
            return RowSplits(splits, group, "image")
        if by == "anchor":
            group = images.role(0)
        elif by == "person":
            group, unit = columns.coded("subject"), "group"
        elif by == "row":  # the anchor and its candidates, in one order whatever the sides
            anchor, *candidates = images.index
            group = name_sets(np.stack([anchor, *np.sort(candidates, axis=0)]), images.names)
        splits = split_names(group.distinct, self.config, self.draw_name)[group.codes]
        return RowSplits(splits, group, unit)

    def preflight(self) -> Iterator[str]:
        """Yield the first thing that is wrong with the file or its images."""
        return problems_of(self.read_first_split)

    def read_first_split(self) -> object:
        """Read the first split that is not empty: a file may be for measuring only."""
        for split in SPLITS[:-1]:
            with suppress(EmptySplitError):
                return self.load(split)
        return self.load(SPLITS[-1])


class DrawnFromTable(DerivedAnswers, OwnTable):
    """A table of scores, from which triplets are drawn; a child gives `draw`."""

    @abstractmethod
    def draw(self, judgments: Any) -> Triplets:
        """Return triplets drawn from the judgments of a split; DataError when there are none to draw."""

    def load(self, split: Split) -> Triplets:
        """Return the triplets of a split; DataError for a wrong row or image, or an empty split."""
        judgments = self.select(split)
        try:
            triplets = self.draw(judgments)
        except DataError as error:
            raise DataError(f"{self.config.path}: {error}") from error
        return replace(triplets, unit="image" if self.config.split_by == "image" else "anchor")


def own_card(title: str, path: Path) -> DataCard:
    """Return the card of a user's file, of which nothing else is known."""
    return DataCard(title=title, source_url=path.as_posix(), licence="not stated", citation="not stated")


@lru_cache(maxsize=4)
def _read_rows(cls: type[OwnTable], config: Any, columns: Columns) -> Rows:
    return cls(config).read(_leave_out_excluded(rename_columns(columns)))


def _leave_out_excluded(columns: Columns) -> Columns:
    if EXCLUDED not in columns:
        return columns
    cells = ("" if cell is None else str(cell).strip().lower() for cell in columns.cells(EXCLUDED))
    mask = np.array([cell in NOT_EXCLUDED for cell in cells], dtype=bool)
    if not mask.any():
        raise DataError(f"{columns.path}: every row is marked in the column '{EXCLUDED}'")
    return columns.select(mask)
