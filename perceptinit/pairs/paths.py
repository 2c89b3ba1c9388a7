"""Files that a recipe names: one path, a brace pattern, a glob, or a list of these."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Sequence
from pathlib import Path

from braceexpand import braceexpand

from perceptinit.errors import DataError


def expand(patterns: str | Sequence[str]) -> list[Path]:
    """Return the paths that `patterns` name, in order; a glob gives those that exist, sorted.

    `data/{00000..01499}.tar` names 1500 files whether they exist or not, `data/*.tar` those there are.

    Raises DataError for a pattern that names nothing or is remote.
    """
    given = [patterns] if isinstance(patterns, str) else list(patterns)
    paths = [path for pattern in given for path in _expand_one(pattern)]
    if not paths:
        raise DataError("no files are named")
    return paths


def _expand_one(pattern: str) -> list[Path]:
    if "://" in pattern or pattern.startswith("pipe:"):
        raise DataError(
            f"{pattern}: remote files are not read, because pairs are drawn at random places; "
            "download them first and name the local copies"
        )
    try:
        names = list(braceexpand(pattern, escape=False))
    except ValueError as error:
        raise DataError(f"{pattern}: braces that do not match ({error})") from error
    return [path for name in names for path in _glob(str(Path(name).expanduser()))]


def _glob(name: str) -> list[Path]:
    if not glob.has_magic(name) or Path(name).exists():
        return [Path(name)]
    found = sorted(glob.glob(name, recursive=True))  # noqa: PTH207 (Path.glob takes no absolute pattern)
    if not found:
        raise DataError(f"{name}: no file matches")
    return [Path(path) for path in found]


def missing(paths: Iterable[Path]) -> str | None:
    """Return a sentence on the files that do not exist, None when all do."""
    paths = list(paths)
    absent = [path for path in paths if not path.is_file()]
    if not absent:
        return None
    if len(paths) == 1:
        return f"{absent[0]}: no such file"
    return f"{len(absent)} of {len(paths)} files are missing; the first is {absent[0]}"
