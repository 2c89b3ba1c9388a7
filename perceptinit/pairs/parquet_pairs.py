"""Parquet tables of image bytes with captions or token ids (`parquet`)."""

# N records, C classes
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from perceptinit.configs import PositiveFloat, PositiveInt
from perceptinit.errors import DataError, problems_of, reading
from perceptinit.pairs.parquet_table import ParquetTable
from perceptinit.pairs.paths import expand, require_files
from perceptinit.protocols import BlockUse, Reached
from perceptinit.types import Classes, Pair


@dataclass(eq=False)
class ParquetPairs:
    """Image-text pairs in local or remote Parquet files, such as the YFCC15M release of the paper.

    Reading a pair loads its entire row group, so pairs are shuffled within a few row groups at a time. Set
    `shuffle_blocks` of the `clip` pretrainer to at most `cached_row_groups`. For long runs or a uniform
    shuffle, use `perceptinit data pack` to write shards, which are read pair by pair.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        files: str | tuple[str, ...]
        """Files: a path or an address (s3://, gs://, hf://datasets/, https://), a brace pattern, a glob
        (`*.parquet`), or a list of these."""
        image_column: str = "images"
        """Column of encoded images: bytes, or a struct with a field `bytes` (Hugging Face)."""
        text_column: str = "texts"
        """Column of captions, or of token ids of the backbone's tokenizer; empty: no texts."""
        label_column: str | None = None
        """Column of class numbers, from 0; `class_column` or `classes` gives their names."""
        class_column: str | None = None
        """Column of class names, numbered by `label_column`, else as in `classes`, else alphabetically."""
        classes: tuple[str, ...] | None = None
        """Class names in the order of their numbers."""
        cached_row_groups: PositiveInt = 8
        """Maximum number of row groups kept in memory, uncompressed, and shuffled together."""
        cache_gb: PositiveFloat | None = None
        """Limit of the disk cache of remote files in 10^9 bytes; by default half of the free space."""

    config: Config

    def __getstate__(self) -> dict[str, Any]:
        raise TypeError("processes cannot share the cache of Parquet row groups")

    @property
    def num_pairs(self) -> int:
        return self._table.num_rows

    @property
    def block_sizes(self) -> list[int]:
        """Return the number of pairs in each row group."""
        return self._table.block_sizes

    @property
    def file_names(self) -> list[str]:
        """Return the names of the files."""
        return [path.name for path in expand(self.config.files)]

    @property
    def max_shuffle_blocks(self) -> int:
        """Return the number of row groups that may be shuffled together."""
        reader = self._table.reader
        most = self.config.cached_row_groups
        return min(most, reader.max_shuffle_blocks) if reader else most

    def read_ahead(self, uses: Iterable[BlockUse]) -> AbstractContextManager[Reached]:
        """Prefetch remote row groups during the block."""
        reader = self._table.reader
        return reader.read_ahead(uses) if reader else nullcontext(lambda *_: None)

    def pair(self, index: int) -> Pair:
        """Return pair `index`; its key names the file and the row in it, counted from 0.

        Raises:
            DataError: If the image or the text is missing or has the wrong type.
        """
        key = self._table.where(index)
        # ValueError, OverflowError: text that is not UTF-8, dates out of range
        with reading(f"{key}: cannot be read", ValueError, OverflowError):
            image, *texts = self._table.row(index)
        if not isinstance(image, bytes):
            raise DataError(f"{key}: '{self.config.image_column}' is {_describe(image)}, not image bytes")
        text = texts[0] if texts else ""
        if isinstance(text, np.ndarray) and text.dtype.kind in "iu":
            return Pair(key, image, text.astype(np.int64))
        if not isinstance(text, str):
            raise DataError(
                f"{key}: '{self.config.text_column}' is {_describe(text)}, neither a caption nor token ids"
            )
        return Pair(key, image, text)

    def read_classes(self) -> Classes:
        """Return class names and labels; only their columns are read.

        Raises:
            DataError: If no class column is configured, or for the first invalid row.
        """
        config = self.config
        table = self._table
        if config.label_column and not (config.class_column or config.classes):
            raise DataError(
                f"{config.files}: label_column = '{config.label_column}' contains numbers without names. "
                "Set class_column, or classes = [...] in the order of the numbers"
            )
        found = read_classes(
            table.column(config.label_column) if config.label_column else None,
            table.column(config.class_column) if config.class_column else None,
            config.classes or (),
            table.where,
        )
        if found is None:
            raise DataError(f"{config.files}: no class column. Set label_column or class_column")
        return found

    def preflight(self) -> Iterator[str]:
        """Yield a problem if files are missing, unreadable or empty, or if columns are missing."""
        unreadable = list(problems_of(lambda: self.num_pairs))
        if unreadable or not self.num_pairs:
            yield from unreadable or [f"{self.config.files}: no rows"]
            return
        if self._table.reader:
            yield from self._table.reader.problems()
        yield from problems_of(self.pair, 0)  # a column of the wrong type fails in every row

    @cached_property
    def _table(self) -> ParquetTable:
        config = self.config
        with reading("files", DataError):
            paths = expand(config.files)
            require_files(paths)
        of_row = [name for name in (config.image_column, config.text_column) if name]
        others = [name for name in (config.label_column, config.class_column) if name]
        return ParquetTable(paths, of_row, config.cached_row_groups, config.cache_gb, others)


def _describe(value: object) -> str:
    return "empty" if value is None else type(value).__name__


def read_classes(
    labels: Sequence[object] | None,
    names: Sequence[object] | None,
    known: Sequence[str],
    where: Callable[[int], str],
) -> Classes | None:
    """Return the classes of N records; None if they have neither labels nor names.

    Args:
        labels: One label per record, an integer or a text of digits.
        names: One class name per record.
        known: Class names by label; empty: taken from `names`, in the order of the labels or else
            alphabetically.
        where: Returns the name of record i for messages.

    Raises:
        DataError: For the first invalid record, and for a label without a name.
    """
    if names is None and labels is None:
        return None
    if labels is None:
        assert names is not None
        order = tuple(known) or tuple(sorted({str(name) for name in names if name}))
        label_of: dict[object, int] = {name: label for label, name in enumerate(order)}
        for i, name in enumerate(names):
            if name not in label_of:
                raise DataError(f"{where(i)}: {name!r} is not one of the {len(order)} class names")
        return Classes(order, np.array([label_of[name] for name in names], np.int64))
    for i, label in enumerate(labels):
        if not (isinstance(label, (int, np.integer, str)) and str(label).strip().isdecimal()):
            raise DataError(f"{where(i)}: label {label!r} is not a whole number >= 0")
    numbers = np.array([int(str(label)) for label in labels], dtype=np.int64)
    if names is not None and not known:
        known = _pair_names(numbers, names, where)
    if not known:
        raise DataError(
            "labels have no class names. Name their column with --columns class=COLUMN, or give "
            "--classes a file with one name per line"
        )
    outside = np.flatnonzero(numbers >= len(known))
    if outside.size:
        raise DataError(
            f"{where(outside[0])}: label {numbers[outside[0]]}, but there are {len(known)} class names"
        )
    return Classes(tuple(known), numbers)


def _pair_names(numbers: np.ndarray, names: Sequence[object], where: Callable[[int], str]) -> tuple[str, ...]:
    """Return the class names in the order of the labels."""
    found: dict[int, str] = {}
    for i, (number, name) in enumerate(zip(numbers.tolist(), names, strict=True)):
        if not name:
            raise DataError(f"{where(i)}: label {number} has no class name")
        if found.setdefault(number, str(name)) != name:
            raise DataError(
                f"{where(i)}: label {number} is named {name!r}, but {found[number]!r} in an earlier row"
            )
    absent = sorted(set(range(max(found) + 1)) - found.keys()) if found else []
    if absent:
        raise DataError(
            f"no record has label {absent[0]}, so its class is unnamed. List all names in classes (--classes)"
        )
    return tuple(found[i] for i in range(len(found)))
