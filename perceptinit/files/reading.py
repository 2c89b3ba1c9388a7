"""Read files that others made: regular files only, never more than a stated size, errors that name them."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, TypeVar

from perceptinit.configs import find_misfit
from perceptinit.errors import DataError, shown

T = TypeVar("T")
# a table of settings or counts; what is larger is none
MAX_JSON_BYTES = 256 << 20


def open_regular(path: Path) -> IO[bytes]:
    """Open a regular file for reading.

    A pipe would be waited for, and a device such as /dev/zero never ends: both raise OSError, as a
    folder or an absent file does, and so does a name that no file system takes.
    """
    try:
        # not blocking: opening a pipe that nobody writes to returns at once
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except ValueError as error:  # NUL in the name
        raise OSError(errno.EINVAL, "no file has such a name", str(path)) from error
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "a folder, not a file", str(path))
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return os.fdopen(descriptor, "rb")


def read_bytes(path: Path) -> bytes:
    """Return the content of a regular file; raises OSError as `open_regular` does."""
    with open_regular(path) as file:
        return file.read()


def require_file(path: Path, hint: str = "") -> None:
    """Raise DataError unless `path` can be opened as a regular file; `hint` follows "no such file"."""
    try:
        open_regular(path).close()
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{shown(path)}: no such file{hint}") from None
    except OSError as error:
        raise DataError(f"{shown(path)}: {error.strerror}") from error


def read_json(path: Path, kind: type[T], what: str, hint: str = "") -> T:
    """Return the value in a JSON file.

    Args:
        path: The file.
        kind: The type that the value must have, also a `TypedDict`; see `configs.find_misfit`.
        what: What the file should be, for messages.
        hint: What the user can do, the end of messages.

    Raises:
        DataError: If the file cannot be read, is not JSON, or its value is not a `kind`. Names the file and the key.
    """
    try:
        with open_regular(path) as file:
            data = file.read(MAX_JSON_BYTES + 1)
    except OSError as error:
        raise DataError(f"{shown(path)}: not {what} ({error.strerror or error}){hint}") from error
    if len(data) > MAX_JSON_BYTES:
        raise DataError(f"{path}: not {what} (larger than {MAX_JSON_BYTES >> 20} MB){hint}")
    try:
        value = parse_json(data)
    except ValueError as error:
        raise DataError(f"{path}: not {what} ({error}){hint}") from error
    if problem := find_misfit(value, kind):
        raise DataError(f"{path}: not {what} ({problem}){hint}")
    return value


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text; ValueError when it is none, or nests deeper than Python can follow."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def parse_rows(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield the tables of JSON lines; what is none is left out, such as a line that a kill cut off."""
    for line in lines:
        try:
            row = parse_json(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            yield row
