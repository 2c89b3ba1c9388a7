"""Which of many image files are there, without asking the file system about each."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from perceptinit.errors import DataError
from perceptinit.registry import nearest
from perceptinit.types import WHITE, Colour, Stimuli


def normal_name(text: str) -> str:
    """Return an image path with `.` and doubled slashes gone, so that one file has one name.

    Raises ValueError when it is empty, absolute or leads out of the folder by `..`.
    """
    path = PurePosixPath(text)
    if not path.name:
        raise ValueError("no image is named")
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"image '{text}' is outside the images folder; paths are relative to it")
    return path.as_posix()


def file_name(name: str, pattern: str | None) -> str:
    """Return the file of what a table names: `pattern` filled with it, a whole number where `d` asks for one.

    Raises ValueError for a pattern that is none, and a name that it cannot be filled with.
    """
    if pattern is None:
        return normal_name(name)
    try:
        filled = pattern.format(int(name) if re.search(r"{0?:[^}]*d}", pattern) else name)
    except (ValueError, IndexError, KeyError, AttributeError) as error:
        raise ValueError(f"image = '{pattern}' cannot be filled with '{name}' ({error})") from None
    if "{" not in pattern:
        raise ValueError(
            f"image = '{pattern}' has no place for the name; say '{{}}.jpg' or '{{:03d}}.jpg'"
        )
    return normal_name(filled)


def missing_files(folder: Path, names: Iterable[str]) -> list[str]:
    """Return the names that are no files in `folder`, sorted; each subfolder is listed once."""
    by_parent: dict[str, set[str]] = {}
    for name in names:
        path = PurePosixPath(name)
        by_parent.setdefault(path.parent.as_posix(), set()).add(path.name)
    return sorted(
        (PurePosixPath(parent) / name).as_posix()
        for parent, wanted in by_parent.items()
        for name in wanted.difference(file_names(folder / parent))
    )


def file_names(folder: Path) -> list[str]:
    """Return the files in a folder, sorted; none when there is no such folder.

    Raises DataError when it may not be read.
    """
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_file())
    except PermissionError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror})") from error
    except (OSError, ValueError):  # not there; or no folder can have such a name
        return []


def similar_file(folder: Path, name: str) -> str | None:
    """Return the file in the same subfolder that `name` was probably meant to be."""
    path = PurePosixPath(name)
    near = nearest(path.name, file_names(folder / path.parent))
    return (path.parent / near).as_posix() if near else None


def stimuli_in(folder: Path, names: Sequence[str], background: Colour = WHITE) -> Stimuli:
    """Return the image files of these names in a folder."""
    return Stimuli(tuple(names), [folder / name for name in names], background=background)


def list_some(names: Sequence[str], limit: int = 3) -> str:
    """Return the first few names as a sentence's part: `a.png, b.png and 4 more`."""
    more = f" and {len(names) - limit:,} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
