"""Parquet tables of image bytes with captions or token ids (`parquet`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from perceptinit.configs import PositiveFloat, PositiveInt
from perceptinit.errors import DataError, problems_of
from perceptinit.pairs.classes import read_classes
from perceptinit.pairs.paths import expand, require_files
from perceptinit.pairs.tables import ParquetTable
from perceptinit.protocols import BlockUse, Reached
from perceptinit.types import Classes, Pair


class ParquetPairs:
    """Image-text pairs in Parquet files, here or at addresses, as the YFCC15M release of the paper: `images`, `texts`.

    A pair is read with its whole row group, so `block_sizes` are the row groups, and a shuffle must
    stay within `cached_row_groups` of them at a time (`shuffle_blocks` of the `clip` pretrainer). For long runs, and for a
    shuffle over everything, `perceptinit data pack` makes shards that are read pair by pair.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        files: str | tuple[str, ...]
        """Files: a path or an address (s3://, gs://, hf://datasets/, https://), a brace pattern, a glob
        (`*.parquet`), or a list of these."""
        image_column: str = "images"
        """Column of encoded images: bytes, or a struct with a field `bytes` (Hugging Face)."""
        text_column: str = "texts"
        """Column of captions, or of lists of token ids; ids must be those of the backbone's tokenizer. Empty: no
        texts, which only pretraining on labels, or on images alone, can do without."""
        label_column: str | None = None
        """Column of the numbers of classes, from 0 on; their names stand in `class_column` or `classes`."""
        class_column: str | None = None
        """Column of class names; alone, it gives the numbers, in the order of `classes` or of the alphabet."""
        classes: tuple[str, ...] | None = None
        """Class names in the order of their numbers."""
        cached_row_groups: PositiveInt = 8
        """Row groups held in memory, not compressed; no fewer than a shuffle draws from at a time."""
        cache_gb: PositiveFloat | None = None
        """Of addresses: most disk that row groups take on this machine, in 10^9 bytes; by default half of what is free."""

    def __init__(self, config: Config) -> None:
        self.config = config

    @property
    def num_pairs(self) -> int:
        return self._table.num_rows

    @property
    def block_sizes(self) -> list[int]:
        """Return the number of pairs in each row group."""
        return self._table.block_sizes

    @property
    def max_shuffle_blocks(self) -> int:
        """Return how many blocks may be shuffled into each other before each pair costs a row group."""
        reader, most = self._table.reader, self.config.cached_row_groups
        return min(most, reader.max_shuffle_blocks) if reader else most

    def read_ahead(self, uses: Iterable[BlockUse]) -> AbstractContextManager[Reached]:
        """Fetch row groups during the block in the order of need; local ones are there already."""
        reader = self._table.reader
        return reader.read_ahead(uses) if reader else nullcontext(lambda *_: None)

    def pair(self, index: int) -> Pair:
        """Return pair `index`; its key is the file and the row in it, counted from 0.

        Raises DataError when the image or the text is absent or of another type.
        """
        key = self._table.where(index)
        try:
            image, *texts = self._table.row(index)
        except (
            ValueError,
            OverflowError,
        ) as error:  # text that is not UTF-8, dates Python does not have
            raise DataError(f"{key}: cannot be read ({error})") from error
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
        """Return class names and labels, read from their columns alone.

        Raises DataError when no column of them is named, and for the first row that does not fit.
        """
        config, table = self.config, self._table
        if config.label_column and not (config.class_column or config.classes):
            raise DataError(
                f"{config.files}: label_column = '{config.label_column}' has numbers, and nothing says what the "
                "classes are called: give class_column, or classes = [...] in their order"
            )
        found = read_classes(
            table.column(config.label_column) if config.label_column else None,
            table.column(config.class_column) if config.class_column else None,
            config.classes or (),
            table.where,
        )
        if found is None:
            raise DataError(
                f"{config.files}: which column has the class of an image? Give label_column or class_column"
            )
        return found

    def preflight(self) -> Iterator[str]:
        """Yield what is missing, unreadable or empty, and a column that is not there."""
        unreadable = list(problems_of(lambda: self.num_pairs))
        if unreadable or not self.num_pairs:
            yield from unreadable or [f"{self.config.files}: no rows"]
            return
        if self._table.reader:
            yield from self._table.reader.problems()
        yield from problems_of(self.pair, 0)  # columns of another type are the same in every row

    @cached_property
    def _table(self) -> ParquetTable:
        config = self.config
        paths = expand(config.files)
        require_files(paths)
        of_row = [name for name in (config.image_column, config.text_column) if name]
        others = [name for name in (config.label_column, config.class_column) if name]
        return ParquetTable(paths, of_row, config.cached_row_groups, config.cache_gb, others)


def _describe(value: object) -> str:
    return "empty" if value is None else type(value).__name__
