"""Read the image columns of a table of judgments and check that the files are there."""

from __future__ import annotations

# N rows, R roles, M images
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from perceptinit.errors import DataError
from perceptinit.files.columns import Coded, Columns, raise_all, read_all
from perceptinit.judgments.reading.image_files import (
    file_name,
    list_some,
    missing_files,
    similar_file,
)


@dataclass(frozen=True, slots=True, eq=False)
class ImageRows:
    """The images of N rows, in R roles.

    names: M image names, sorted. index: int64 (R, N), which of them.
    """

    names: tuple[str, ...]
    index: np.ndarray

    @classmethod
    def of(cls, roles: Sequence[Coded]) -> ImageRows:
        names = sorted({name for role in roles for name in role.distinct})
        place = {name: i for i, name in enumerate(names)}
        numbers = [np.array([place[n] for n in r.distinct], np.int64)[r.codes] for r in roles]
        return cls(tuple(names), np.stack(numbers))

    def role(self, number: int) -> Coded:
        """Return the images of one role by name."""
        return Coded.of(self.index[number], self.names)


def read_images(
    columns: Columns, roles: Sequence[str], folder: Path, pattern: str | None = None
) -> ImageRows:
    """Return the images of the columns in `roles`; `pattern` makes files of names, see `file_name`.

    Raises DataError, naming the rows, for paths that leave the folder, images that stand twice in a
    row and files that are missing.
    """
    if not folder.is_dir():
        raise DataError(f'images = "{folder}": no such folder')
    images = ImageRows.of(
        read_all(*(partial(columns.coded, role, partial(_named, pattern)) for role in roles))
    )
    raise_all([*_twice(columns, images), *_missing(columns, images, roles, folder)])
    return images


def _named(pattern: str | None, text: str) -> str:
    try:
        return file_name(text, pattern)
    except ValueError as error:
        raise ValueError(f": {error}") from error


def _twice(columns: Columns, images: ImageRows) -> list[DataError]:
    order = np.sort(images.index, axis=0)
    is_same = order[1:] == order[:-1]
    rows = np.flatnonzero(is_same.any(axis=0))
    if not rows.size:
        return []
    name = images.names[order[1:, rows[0]][is_same[:, rows[0]]][0]]
    return [columns.error(rows, f"the image '{name}' stands twice in one triplet")]


def _missing(
    columns: Columns, images: ImageRows, roles: Sequence[str], folder: Path
) -> list[DataError]:
    missing = missing_files(folder, images.names)
    if not missing:
        return []
    is_missing = np.isin(images.index, [images.names.index(name) for name in missing])
    rows = np.flatnonzero(is_missing.any(axis=0))
    role = int(np.argmax(is_missing[:, rows[0]]))
    name = images.names[images.index[role, rows[0]]]
    return [columns.error(rows, f"{roles[role]} '{name}': {no_image(folder, name, missing)}")]


def no_image(folder: Path, name: str, missing: Sequence[str]) -> str:
    """Return what to say of an image that is one of `missing`, with the one probably meant."""
    guess = similar_file(folder, name)
    hint = f" Did you mean '{guess}'?" if guess else ""
    total = (
        f" ({len(missing):,} images are missing: {list_some(missing)})" if len(missing) > 1 else ""
    )
    return f"no such image in {folder}.{hint}{total}"
