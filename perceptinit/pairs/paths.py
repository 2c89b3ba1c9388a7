"""Expand the file patterns of a recipe: paths, addresses, brace patterns, globs, or lists of these."""

import glob
import math
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path

from braceexpand import braceexpand

from perceptinit.errors import DataError, problems_of, shown
from perceptinit.files.reading import require_file
from perceptinit.files.remote.addresses import Place, RemoteFile, is_remote, remote_file
from perceptinit.files.remote.store import match_files

MAX_FILES = 1_000_000  # DataComp-1B, one of the largest sets, has 140,000 shards
MAX_FOLDERS = 5_000  # limit for one `**`, because a command expands it several times
_INNERMOST = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(-?\d+(?=\.\.-?\d)|[A-Za-z](?=\.\.[A-Za-z]))\.\.(-?\d+|[A-Za-z])(?:\.\.-?(\d+))?", re.A)


def expand(patterns: str | Sequence[str]) -> list[Path] | list[RemoteFile]:
    """Return the files that match `patterns`, in order.

    `data/{00000..01499}.tar` gives 1500 files, which may be missing. `data/*.tar` gives the existing files,
    sorted. The last part of an address may be a glob if the server lists its folders.

    Raises:
        DataError: For a pattern without files, more than MAX_FILES files or MAX_FOLDERS folders, or a mixture
            of paths and addresses.
        RemoteError: If a folder cannot be listed.
    """
    given = [patterns] if isinstance(patterns, str) else list(patterns)
    if any(map(is_remote, given)):
        if not all(map(is_remote, given)):
            raise DataError(f"{shown(given[0])}: name either addresses or local files, not both")
        for pattern in given:
            remote_file(pattern)  # refuses unknown schemes before the expansion
        files = [remote_file(name) for pattern in given for name in expand_braces(pattern)]
        return [each for f in files for each in (match_files(f) if "*" in f.name else [f])]
    paths = [path for pattern in given for path in _paths(pattern)]
    if not paths:
        raise DataError("the list of files is empty")
    return paths


def _paths(pattern: str) -> list[Path]:
    names = expand_braces(pattern)
    try:
        return [Path(each) for name in names for each in _glob(str(Path(name).expanduser()))]
    except (OSError, RuntimeError, ValueError) as error:  # too long; no such user for ~; NUL
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{shown(pattern)}: not a valid file name ({reason})") from error


def expand_braces(pattern: str) -> list[str]:
    """Return the names in a brace pattern; DataError for invalid braces or more than MAX_FILES names."""
    try:
        if count_names(pattern) > MAX_FILES:
            raise DataError(f"{shown(pattern)}: names more than {MAX_FILES:,} files")
        return list(braceexpand(pattern, escape=False))
    except (ValueError, RecursionError) as error:
        reason = shown(error) or "nested too deeply"
        raise DataError(f"{shown(pattern)}: invalid braces ({reason})") from error


def count_names(pattern: str) -> int:
    """Return the number of names in the expansion of a pattern, without expanding it."""
    sizes: list[int] = []

    def fold(group: re.Match[str]) -> str:
        sizes.append(_range_length(group[1]) or sum(map(product, group[1].split(","))))
        return f"\0{len(sizes) - 1}\0"

    def product(text: str) -> int:
        return math.prod(sizes[int(place)] for place in re.findall("\0([0-9]+)\0", text))

    folded = 1
    while folded:
        pattern, folded = _INNERMOST.subn(fold, pattern)
    return product(pattern)


def _range_length(text: str) -> int:
    """Return the length of a range such as 0..9, 0..9..2 or a..c; 0 for other texts."""
    found = _RANGE.fullmatch(text)
    if not found:
        return 0
    first, last = (ord(end) if end.isalpha() else int(end) for end in found.group(1, 2))
    return abs(last - first) // (int(found[3] or 1) or 1) + 1


def _glob(name: str) -> list[str]:
    if not glob.has_magic(name) or os.path.lexists(name):
        return [name]
    found = sorted(set(_matches(name, count(1))))
    if not found:
        raise DataError(f"{shown(name)}: no file matches")
    return found


def _matches(name: str, folders: Iterator[int]) -> Iterator[str]:
    """Yield the matches of a glob; `**` matches folders at any depth, except hidden folders."""
    parts = Path(name).parts
    if "**" not in parts:
        yield from glob.iglob(name)  # noqa: PTH207 (Path.glob takes no absolute pattern)
        return
    at = parts.index("**")
    base = str(Path(*parts[:at]))
    rest = str(Path(*parts[at + 1 :] or "*"))
    for top in _matches(base, folders) if glob.has_magic(base) else [base]:
        for folder, inner, _ in os.walk(top):
            if next(folders) > MAX_FOLDERS:
                raise DataError(
                    f"{shown(name)}: searches more than {MAX_FOLDERS:,} folders. Use a narrower pattern"
                )
            inner[:] = [each for each in inner if not each.startswith(".")]
            yield from _matches(str(Path(glob.escape(folder)) / rest), folders)


def require_files(paths: Iterable[Place]) -> None:
    """Raise DataError unless all local files exist and are regular files; remote ones are not checked."""
    local = [path for path in paths if isinstance(path, Path)]
    absent = [problem for path in local for problem in problems_of(require_file, path)]
    if absent:
        more = f"{len(absent)} of {len(local)} files are missing. First error: " if len(local) > 1 else ""
        raise DataError(more + absent[0])
