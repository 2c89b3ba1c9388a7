"""CSV files of image paths and captions (`csv`)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated

from perceptinit.configs import NEUTRAL
from perceptinit.errors import DataError, list_some, problems_of
from perceptinit.files.csv_files import read_csv
from perceptinit.files.reading import file_names, require_file
from perceptinit.files.remote.addresses import is_remote, remote_file
from perceptinit.files.remote.copies import local_file, local_folder
from perceptinit.types import Pair


class CsvTable:
    """Columns of a CSV file in memory, all as text.

    Args:
        path: The file.
        columns: Names of the columns to read.
        separator: One character.

    Raises:
        DataError: If the file is not a table, lacks a column, or has rows of different lengths.
    """

    def __init__(self, path: Path, columns: Sequence[str], separator: str = ",") -> None:
        self.path = path
        self.columns = tuple(columns)
        table, self.rows = read_csv(path, separator, self.columns)
        self._table = table.combine_chunks()
        self.num_rows = len(self.rows)
        self.block_sizes = [self.num_rows]

    def row(self, index: int) -> tuple[str, ...]:
        """Return the texts of a row."""
        return tuple(self._table.column(name)[index].as_py() for name in self.columns)

    def column(self, name: str) -> list[str]:
        """Return the texts of a column."""
        return self._table.column(name).to_pylist()

    def where(self, index: int) -> str:
        """Return the name of a row for messages, numbered as in a spreadsheet: the header is row 1."""
        return f"{self.path.name} row {self.rows[index]}"


@dataclass(eq=False)
class CsvPairs:
    """Image-text pairs listed in a CSV file with a header. Each image is a file.

    Individual files are slow to read from network drives and hard disks; `perceptinit data pack` packs them
    into shards. A remote table and its image folder are copied first.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        file: str
        """The CSV file, UTF-8, with a header; a path or an address."""
        root: Annotated[str, NEUTRAL] = ""
        """Folder of the images, local, in a bucket or on a hub; empty: the folder of the CSV file."""
        image_column: str = "image"
        """Column of image paths."""
        text_column: str = "caption"
        """Column of captions."""
        separator: str = ","
        """The character between columns; a tab (`"\\t"`) in open_clip's CSV files."""

        def __post_init__(self) -> None:
            if len(self.separator) != 1:
                raise ValueError(f"separator must be one character, got {self.separator!r}")

    config: Config

    @cached_property
    def root(self) -> Path:
        """Return the folder of the images, or its local copy; DataError if it cannot be copied."""
        config = self.config
        if not config.root and not is_remote(config.file):
            return self._path.parent
        return local_folder(config.root or remote_file(config.file).folder.url)

    @property
    def num_pairs(self) -> int:
        return self._table.num_rows

    @property
    def block_sizes(self) -> list[int]:
        """Return a single block, because separate files can be read in any order."""
        return self._table.block_sizes

    def pair(self, index: int) -> Pair:
        """Return pair `index`; its key names the file and the row, where the header is row 1.

        Raises:
            DataError: If the image path is empty.
        """
        image, text = self._table.row(index)
        key = self._table.where(index)
        if not image:
            raise DataError(f"{key}: '{self.config.image_column}' is empty")
        return Pair(f"{key} ({image})", self.root / image, text)

    def preflight(self) -> Iterator[str]:
        """Yield problems with the table, and a message for each missing image."""
        # the folder first, so that a web folder is refused before the table is fetched
        unreadable = list(problems_of(lambda: (self.root, self.num_pairs)))
        if unreadable or not self.num_pairs:
            yield from unreadable or [f"{self._path}: no rows below the header"]
            return
        images = self._table.column(self.config.image_column)
        # one listing per folder, not one look-up per image
        names = cache(lambda folder: frozenset(file_names(folder)))
        paths = [self.root / image for image in images]
        absent = [i for i, p in enumerate(paths) if not images[i] or p.name not in names(p.parent)]
        if absent:
            rows = list_some([f"row {self._table.rows[i]} ({images[i] or 'empty'})" for i in absent])
            yield (
                f"{self._path}: {len(absent)} of {len(images)} images of the column "
                f"'{self.config.image_column}' are missing in {self.root}: {rows}"
            )

    @cached_property
    def _path(self) -> Path:
        return local_file(self.config.file)

    @cached_property
    def _table(self) -> CsvTable:
        require_file(self._path)
        config = self.config
        return CsvTable(self._path, (config.image_column, config.text_column), config.separator)
