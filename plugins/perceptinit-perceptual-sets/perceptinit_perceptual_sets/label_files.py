"""Label files of image-quality data sets: one rated image a line, with errors that name the line."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from perceptinit.plugin import DataError


@dataclass(frozen=True, slots=True)
class Rating:
    """One line of a label file; `place` is where it stands, for messages."""

    reference: str
    image: str
    value: float
    place: str


def one_file(root: Path, name: str, source: str) -> Path:
    """Return the one file called `name` under a folder; DataError when there is none or several."""
    found = sorted(root.rglob(name)) if root.is_dir() else []
    if len(found) != 1:
        what = "no" if not found else f"{len(found)} files called"
        raise DataError(f'root = "{root}": {what} {name} there. Source: {source}')
    return found[0]


def numbered_lines(path: Path) -> list[tuple[str, str]]:
    """Return the lines that are not blank, each with its place for messages."""
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    numbered = enumerate(text.splitlines(), start=1)
    return [(f"{path}, line {n}", line.strip()) for n, line in numbered if line.strip()]


def finite_number(text: str, place: str) -> float:
    """Return the number that a text states; DataError, naming the place, when it is none."""
    try:
        value = float(text) if text.isascii() and "_" not in text else float("nan")
    except ValueError:
        value = float("nan")
    if not math.isfinite(value):
        raise DataError(f"{place}: expected a number, got {text!r}")
    return value


def check_rated_once(path: Path, ratings: list[Rating]) -> list[Rating]:
    """Return the ratings; DataError when there are none or an image is rated twice."""
    if not ratings:
        raise DataError(f"{path}: no ratings")
    seen: dict[str, str] = {}
    for rating in ratings:
        before = seen.setdefault(rating.image.lower(), rating.place)
        if before != rating.place:
            raise DataError(f"{rating.place}: {rating.image} was rated before, at {before}")
    return ratings
