"""Read a table of piles with a row for each participant and image."""

from __future__ import annotations

# K participants, M images
import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from perceptinit.plugin import DataError, unknown

from acme_piles.votes import NOT_SORTED

COLUMNS = ("subject", "image", "pile")


@dataclass(frozen=True, slots=True, eq=False)
class Sorting:
    """Piles of K participants.

    Attributes:
        images: M names, sorted.
        piles: Pile of each image by participant, int, shape (K, M), as for `votes`.
    """

    images: tuple[str, ...]
    piles: np.ndarray


def read_sorting(path: Path, images: Path) -> Sorting:
    """Read a table of piles.

    Args:
        path: The table, CSV.
        images: Folder of the images.

    Raises:
        DataError: If a file or column is missing, or a row names a missing or repeated image.
    """
    piles: dict[tuple[str, str], str] = {}
    for row, cells in _rows(path):
        subject, image = cells["subject"], cells["image"]
        if not (images / image).is_file():
            raise DataError(f"{path}, row {row}: image '{image}': no such file in {images}")
        if (subject, image) in piles:
            raise DataError(f"{path}, row {row}: '{subject}' sorted '{image}' twice")
        piles[subject, image] = cells["pile"]
    return _as_numbers(piles)


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Return row numbers, as in a spreadsheet, and cells by column."""
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    with path.open(newline="", encoding="utf-8-sig") as file:
        table = csv.DictReader(file)
        known = table.fieldnames or []
        for column in COLUMNS:
            if column not in known:
                raise DataError(unknown(f"{path}: no column", column, known))
        return list(enumerate(table, start=2))


def _as_numbers(piles: dict[tuple[str, str], str]) -> Sorting:
    subjects = sorted({subject for subject, _ in piles})
    images = sorted({image for _, image in piles})
    names = sorted(set(piles.values()))
    numbers = np.full((len(subjects), len(images)), NOT_SORTED)
    for (subject, image), pile in piles.items():
        numbers[subjects.index(subject), images.index(image)] = names.index(pile)
    return Sorting(tuple(images), numbers)
