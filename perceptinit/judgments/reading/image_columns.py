"""Read the three image columns of a table of judgments and check that the files are there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from perceptinit.errors import DataError
from perceptinit.judgments.reading.columns import Columns
from perceptinit.judgments.reading.image_files import missing_files, normal_name, similar_file, some


def read_images(columns: Columns, roles: Sequence[str], folder: Path) -> list[list[str]]:
    """Return the image names of each role, one list of N names per column in `roles`.

    Raises DataError, naming the row, for a path that leaves the folder, an image that stands twice
    in a triplet and a file that is missing.
    """
    if not folder.is_dir():
        raise DataError(f'images = "{folder}": no such folder')
    names = [_normal_names(columns, role) for role in roles]
    triplets = list(zip(*names, strict=True))
    for index, row in enumerate(triplets):
        if len(set(row)) < len(row):
            twice = next(name for name in row if row.count(name) > 1)
            raise columns.error(index, f"the image '{twice}' stands twice in one triplet")
    missing = missing_files(folder, {name for row in triplets for name in row})
    if missing:
        index = next(i for i, row in enumerate(triplets) if not set(missing).isdisjoint(row))
        role, name = next(
            (r, n) for r, n in zip(roles, triplets[index], strict=True) if n in missing
        )
        raise columns.error(index, f"{role} '{name}': {no_image(folder, name, missing)}")
    return names


def no_image(folder: Path, name: str, missing: Sequence[str]) -> str:
    """Return what to say of an image that is one of `missing`, with the one probably meant."""
    guess = similar_file(folder, name)
    hint = f" Did you mean '{guess}'?" if guess else ""
    total = f" ({len(missing):,} images are missing: {some(missing)})" if len(missing) > 1 else ""
    return f"no such image in {folder}.{hint}{total}"


def _normal_names(columns: Columns, role: str) -> list[str]:
    names = []
    for index, text in enumerate(columns.texts(role)):
        try:
            names.append(normal_name(text))
        except ValueError as error:
            raise columns.error(index, f"{role}: {error}") from error
    return names
