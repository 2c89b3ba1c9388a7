"""Base class of judgments in a user's table: keys, card, splits and excluded rows."""

# N rows
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np

from perceptinit.configs import NEUTRAL
from perceptinit.errors import DataError, EmptySplitError, problems_of
from perceptinit.files.columns import Coded, Columns, plain_number
from perceptinit.files.tables import read_table
from perceptinit.images.background import colour_of
from perceptinit.judgments.forms.drawing import DerivedAnswers
from perceptinit.judgments.forms.splits import (
    NO_SPLIT,
    SPLITS,
    RowSplits,
    SplitBy,
    SplitConfig,
    name_sets,
    number_splits,
    read_splits,
    split_names,
)
from perceptinit.judgments.image_files import ImageRows, file_name, read_images, stimuli_in
from perceptinit.judgments.own.layouts import rename_columns
from perceptinit.judgments.own.rdm_files import is_square_csv, read_names
from perceptinit.types import DataCard, Split, Stimuli, Triplets, Unit

# the column that marks rows to skip, such as catch trials, and the values that mean "do not skip"
EXCLUDED = "excluded"
NOT_EXCLUDED = ("", "0", "false", "no", "none")


@dataclass(frozen=True, slots=True)
class Rows:
    """Judgments with a method `select`, and their splits, as in `RowSplits`."""

    judgments: Any
    splits: np.ndarray


class OwnTable(ABC):
    """Base class of judgments in a table; a subclass defines `what`, `draw_name` and `read`.

    `load` expects `NamedTriplets`; a subclass with other judgments overrides it. Rows marked in the column
    `excluded` are skipped. Columns of other programs are renamed, see `layouts`.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(SplitConfig):
        path: Annotated[Path, NEUTRAL]
        """The table file: .parquet, .json, .xlsx, or CSV for any other suffix."""
        images: Annotated[Path | None, NEUTRAL] = None
        """Folder that image paths are relative to, or "none" for names without images, which suffice for
        embeddings in a file. Default: the folder of the table."""
        image: str | None = None
        """File name pattern: "{}.jpg", or "{:03d}.jpg" for integers. Default: cells are file names."""
        split_by: SplitBy | None = None
        """Unit of splits: "image" (skips judgments spanning splits), "anchor", "person" (column `subject`) or
        "row" (question). Default: column `group`, else the anchor. Not allowed with a column `split`."""
        person: str | None = None
        """Column that identifies people, used instead of `subject` if `subject` identifies sessions."""
        simulated: bool | None = None
        """Whether simulated observers gave the answers, so that reports do not call them people."""
        columns: str | None = None
        """Names of the columns of a file without a header, in order ("anchor,positive,negative"; an empty
        name skips a column), or `new:old` for each column to rename ("anchor:ref,choice:answer")."""
        names: Path | None = None
        """Text file of image names, one per line, if cells are their numbers."""
        index_base: Literal[0, 1] | None = None
        """Number of the first name in `names`. No default, because sources differ."""

        def __post_init__(self) -> None:
            SplitConfig.__post_init__(self)  # zero-argument super() fails with slots=True
            file_name("1", self.image)
            if (self.names is None) != (self.index_base is None):
                raise ValueError("names and index_base are used together: set both or neither")

    config: Any
    what: ClassVar[str]
    """Contents of the file, for the title of the card."""
    draw_name: ClassVar[str]
    """Name of the random stream for splits."""

    def __init__(self, config: Any) -> None:
        self.config = config

    @abstractmethod
    def read(self, columns: Columns) -> Rows:
        """Return the judgments of a table and their splits; DataError for invalid rows and images."""

    def load(self, split: Split) -> Triplets:
        """Return the triplets of a split; DataError for an invalid row or image, or an empty split."""
        return self.select(split).triplets(self.stimuli)

    @cached_property
    def rows(self) -> Any:
        """All judgments; a table that a recipe names several times is read once."""
        path = self.config.path
        try:
            return _read_rows(type(self), self.config, read_table(path, self.config.columns))
        except DataError as error:
            if not is_square_csv(path):
                raise
            raise DataError(
                f'{path}: a square matrix, not a table. To read it, set use = "rdm" and its kind '
                f"({path},use=rdm,kind=dissimilarity)"
            ) from error

    @property
    def splits(self) -> np.ndarray:
        """The split of each judgment, int8 (N,), as in `RowSplits`."""
        return self.rows.splits

    def splits_by_image(self) -> np.ndarray:
        """Return `splits` as if they were assigned by image; DataError if a column assigns them."""
        return type(self)(replace(self.config, split_by="image")).splits

    def select(self, split: Split) -> Any:
        """Return the judgments of a split; EmptySplitError if there are none."""
        splits = self.splits
        rows = np.flatnonzero(splits == SPLITS.index(split))
        if not rows.size:
            counts = ", ".join(f"{(splits == code).sum()} {name}" for code, name in enumerate(SPLITS))
            problem = f"no judgments in split '{split}' (there are {counts})"
            if num_lost := (splits == NO_SPLIT).sum():
                problem += (
                    f'. split_by = "image" skips {num_lost} judgments. Add images, or set it to "anchor" or '
                    '"row"'
                )
            raise EmptySplitError(f"{self.config.path}: {problem}")
        return self.rows.judgments.select(rows)

    @property
    def name(self) -> str:
        return self.config.path.stem

    @property
    def card(self) -> DataCard:
        card = own_card(f"{self.what} of {self.config.path.name}", self.config.path)
        return replace(card, simulated=bool(self.config.simulated))

    @property
    def folder(self) -> Path:
        """The folder of the images."""
        return self.config.images or self.config.path.parent

    def stimuli(self, names: Sequence[str]) -> Stimuli:
        """Return the images with these names, on the background color in the recipe."""
        return stimuli_in(self.folder, names, colour_of(self.config.background))

    def read_images(self, columns: Columns, roles: Sequence[str], **options: Any) -> ImageRows:
        """Return the images in the columns `roles`; see `image_files.read_images`."""
        return read_images(columns, roles, self.folder, self.file_name, **options)

    def file_name(self, cell: str) -> str:
        """Return the image file that a cell refers to; ValueError if there is none."""
        c = self.config
        if not c.names:
            return file_name(cell, c.image)
        number = plain_number(cell) - c.index_base
        if not number.is_integer() or not 0 <= number < len(self._names):
            last = len(self._names) - 1 + c.index_base
            raise ValueError(f"'{cell}' is not a number from {c.index_base} to {last}, a line of {c.names}")
        return file_name(self._names[int(number)], c.image)

    @cached_property
    def _names(self) -> list[str]:
        return read_names(self.config.names)

    def split_rows(
        self, columns: Columns, images: ImageRows, group: Coded, role: str, hint: str = ""
    ) -> RowSplits:
        """Return the splits of a table's rows, from its column `split` or assigned at random by seed.

        Args:
            columns: The table.
            images: The images of its rows.
            group: Group of each row, which is the unit of splits unless `split_by` is set.
            role: The name of the group in messages.
            hint: Text that ends the message about a group in two splits, such as ", or ...".

        Raises:
            DataError: For unknown splits, a group in two splits, `split_by` together with a column `split` or
                `group`, and a missing column `subject`.
        """
        unit: Unit = "anchor" if role != "group" else "group"
        if self.config.whole:
            return RowSplits(np.full(len(columns), SPLITS.index("test"), np.int8), group, unit)
        by = self.config.split_by
        for name in ("split", "group"):
            if by and name in columns:
                raise DataError(
                    f"{columns.path}: column '{name}' and split_by = \"{by}\" both define the splits. "
                    "Remove one"
                )
        if "split" in columns:
            return RowSplits(read_splits(columns, group, role, hint), group, unit)
        if by == "image":
            return RowSplits(self.split_by_image(images.names, images.index), group, "image")
        if by == "anchor":
            group = images.role(0)
        elif by == "person":
            group = columns.coded("subject")
            unit = "group"
        elif by == "row":  # the anchor and its candidates in either order
            anchor, *candidates = images.index
            group = name_sets(np.stack([anchor, *np.sort(candidates, axis=0)]), images.names)
        splits = number_splits(split_names(group.distinct, self.config, self.draw_name))
        return RowSplits(splits[group.codes], group, unit)

    def split_by_image(self, names: Sequence[str], index: np.ndarray) -> np.ndarray:
        """Return the split of all images of each row, int8 (N,), as in `RowSplits`; index: (R, N)."""
        of_image = number_splits(split_names(names, self.config, self.draw_name))[index]
        return np.where((of_image == of_image[0]).all(axis=0), of_image[0], NO_SPLIT)

    def preflight(self) -> Iterator[str]:
        """Yield the first problem of the file or its images."""
        return problems_of(self._load_first_split)

    def _load_first_split(self) -> Triplets:
        """Load the first split that has judgments, since a file may have no training split."""
        for split in SPLITS[:-1]:
            with suppress(EmptySplitError):
                return self.load(split)
        return self.load(SPLITS[-1])


class DrawnFromTable(DerivedAnswers, OwnTable):
    """Base class of tables of scores, from which triplets are sampled; a subclass defines `draw`."""

    @abstractmethod
    def draw(self, judgments: Any) -> Triplets:
        """Sample triplets from the judgments of a split; DataError if no pair qualifies."""

    def load(self, split: Split) -> Triplets:
        """Return the triplets of a split; DataError for an invalid row or image, or an empty split."""
        judgments = self.select(split)
        try:
            triplets = self.draw(judgments)
        except DataError as error:
            raise DataError(f"{self.config.path}: {error}") from error
        return replace(triplets, unit="image" if self.config.split_by == "image" else "anchor")


def own_card(title: str, path: Path) -> DataCard:
    """Return the card of a user's file."""
    return DataCard(title=title, source_url=path.as_posix(), license="not stated", citation="not stated")


@lru_cache(maxsize=4)
def _read_rows(cls: type[OwnTable], config: Any, columns: Columns) -> Rows:
    columns = rename_columns(columns, config.person)
    if EXCLUDED in columns:
        cells = ("" if cell is None else str(cell).strip().lower() for cell in columns.cells(EXCLUDED))
        columns = columns.select(np.array([cell in NOT_EXCLUDED for cell in cells], dtype=bool))
        if not len(columns):
            raise DataError(f"{columns.path}: all rows are marked in the column '{EXCLUDED}'")
    return cls(config).read(columns)
