"""Read images with captions or labels from folders, CSV and Parquet."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from perceptinit.plugin import (
    IMAGE_SUFFIXES,
    Classes,
    CsvTable,
    DataError,
    ParquetTable,
    UsageError,
    read_bytes,
    read_classes,
    require_file,
)


@dataclass(frozen=True, slots=True)
class Record:
    """An image with its caption. where: its name in error messages. image: path or bytes."""

    where: str
    image: Path | bytes | None
    text: str | None


class Source(Protocol):
    """Records in a fixed order; `record` is called from several threads.

    Attributes:
        num_records: Number of records.
        classes: Class names and labels, None without labels.
        has_texts: Whether records have captions.
        fingerprint: Hash that changes if the records may have changed.
    """

    num_records: int
    classes: Classes | None
    has_texts: bool
    fingerprint: str

    def record(self, index: int) -> Record: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Column names of a table; None for columns that it does not have.

    root: base folder of image paths, None for the table's folder. separator: CSV separator.
    """

    image: str = "image"
    text: str | None = None
    label: str | None = None
    class_name: str | None = None
    root: Path | None = None
    separator: str = ","

    def names(self) -> list[str]:
        """Return the names of the required columns."""
        return [n for n in (self.image, self.text, self.label, self.class_name) if n is not None]


def open_source(path: Path, columns: Columns, classnames: Sequence[str] = (), num_readers: int = 1) -> Source:
    """Open a folder of images or .parquet files, or a .csv, .tsv or .parquet file.

    Args:
        path: The folder or file.
        columns: Column names of a table.
        classnames: Class names by label, if the source has none.
        num_readers: Number of threads that read different parts in parallel.

    Raises:
        DataError: If the path or a column does not exist, or the labels do not match the class names.
        UsageError: If the file type is not supported.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    if not path.is_dir():
        require_file(path)
    tables = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if path.is_dir() and not tables:
        return FolderSource(path, classnames)
    if tables[0].suffix == ".parquet":
        # each thread reads one row group at a time
        table = ParquetTable(tables, columns.names(), cached_row_groups=num_readers + 1)
        return TableSource(tables, table, columns, classnames)
    if path.suffix in {".csv", ".tsv"}:
        separator = "\t" if path.suffix == ".tsv" else columns.separator
        return TableSource(tables, CsvTable(path, columns.names(), separator), columns, classnames)
    raise UsageError(f"{path}: neither a folder nor a .csv, .tsv or .parquet file")


class TableSource:
    """Records of a CSV or Parquet table, whose images are bytes or paths."""

    def __init__(
        self,
        paths: Sequence[Path],
        table: CsvTable | ParquetTable,
        columns: Columns,
        classnames: Sequence[str],
    ) -> None:
        self._table = table
        self._columns = columns
        self._root = columns.root or paths[0].parent
        self.num_records = table.num_rows
        self.has_texts = columns.text is not None
        self.classes = read_classes(
            table.column(columns.label) if columns.label else None,
            table.column(columns.class_name) if columns.class_name else None,
            classnames,
            table.where,
        )
        self.fingerprint = _fingerprint(paths, paths[0].parent, repr(columns))

    def record(self, index: int) -> Record:
        """Return the record of a row; reading a Parquet row loads its row group."""
        values = dict(zip(self._columns.names(), self._table.row(index), strict=True))
        image = values[self._columns.image]
        where = self._table.where(index)
        if isinstance(image, str):
            where, image = f"{where} ({image})", self._root / image if image else None
        text = values.get(self._columns.text) if self._columns.text else None
        if text is not None and not isinstance(text, str):
            raise DataError(f"{where}: '{self._columns.text}' is {type(text).__name__}, not a caption")
        return Record(where, image if isinstance(image, (bytes, Path)) else None, text)


class FolderSource:
    """Images of a folder and its subfolders, sorted by path.

    If any image has a `.txt` file of the same name, these files are captions. Otherwise, the first folder of
    each path is the class, and classes are numbered alphabetically.
    """

    def __init__(self, path: Path, classnames: Sequence[str]) -> None:
        self._path = path
        files = sorted(p for p in path.rglob("*") if p.is_file())
        self._images = [p for p in files if p.suffix.lower() in IMAGE_SUFFIXES]
        if not self._images:
            raise DataError(f"{path}: no images ({', '.join(sorted(IMAGE_SUFFIXES))})")
        captions = {p.with_suffix("") for p in files if p.suffix == ".txt"}
        self.num_records = len(self._images)
        self.has_texts = any(p.with_suffix("") in captions for p in self._images)
        self.classes = None if self.has_texts else self._folder_classes(classnames)
        self.fingerprint = _fingerprint(files, path)

    def record(self, index: int) -> Record:
        """Return an image with its caption; the caption is None if it is missing."""
        image = self._images[index]
        text = _read_caption(image.with_suffix(".txt")) if self.has_texts else None
        return Record(self._where(index), image, text)

    def _folder_classes(self, classnames: Sequence[str]) -> Classes | None:
        parts = [image.relative_to(self._path).parts for image in self._images]
        for i, part in enumerate(parts):
            if len(part) < 2:
                raise DataError(
                    f"{self._where(i)}: not in a class folder and without a caption "
                    f"({Path(part[0]).stem}.txt). Add one of them"
                )
        return read_classes(None, [part[0] for part in parts], classnames, self._where)

    def _where(self, index: int) -> str:
        return str(self._images[index].relative_to(self._path))


def _read_caption(path: Path) -> str | None:
    try:
        return read_bytes(path).decode("utf-8").strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: caption cannot be read ({error})") from error


def _fingerprint(paths: Sequence[Path], root: Path, how: str = "") -> str:
    """Return a hash of `how` and of the names, sizes and modification times of files."""
    digest = hashlib.sha256(how.encode())
    for path in paths:
        stat = path.stat()
        digest.update(f"{path.relative_to(root)}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()
