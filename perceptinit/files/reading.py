"""Read untrusted files: only regular files, of limited size, with errors that name the file."""

import errno
import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np

from perceptinit.configs import find_misfit
from perceptinit.errors import DataError, reading, shown

T = TypeVar("T")
# JSON files contain settings or counts
MAX_JSON_BYTES = 256 << 20
SUMS = "SHA256SUMS"  # of an exported folder, for `sha256sum -c`
ABOUT = "perceptinit.json"  # of an exported folder: fit, embedding, and the judgments of stage 1
CLASSIFIER = "classifier"  # the embedding of an exported timm model, if it is not its pooled features


def open_regular(path: Path) -> IO[bytes]:
    """Open a regular file for reading; OSError for anything else, such as folders, pipes and devices."""
    try:
        # non-blocking, because a pipe without a writer would block
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except ValueError as error:  # NUL in the name
        raise OSError(errno.EINVAL, "not a valid file name", str(path)) from error
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "a folder, not a file", str(path))
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return os.fdopen(descriptor, "rb")


def read_bytes(path: Path) -> bytes:
    """Return the content of a regular file; OSError as in `open_regular`."""
    with open_regular(path) as file:
        return file.read()


def require_file(path: Path, hint: str = "") -> None:
    """Raise DataError unless `path` is a readable regular file; `hint` follows "no such file"."""
    try:
        open_regular(path).close()
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{shown(path)}: no such file{hint}") from None
    except OSError as error:
        raise DataError(f"{shown(path)}: {error.strerror}") from error


def file_names(folder: Path) -> list[str]:
    """Return the names of the files in a folder, sorted; empty if the folder does not exist.

    Raises:
        DataError: If permissions do not allow reading the folder.
    """
    try:
        with os.scandir(folder) as entries:
            return sorted(e.name for e in entries if e.is_file(follow_symlinks=False) or Path(e).is_file())
    except PermissionError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror})") from error
    except (OSError, ValueError):  # missing folder or invalid name
        return []


def read_npy(path: Path) -> np.ndarray:
    """Return the array in a .npy file, memory-mapped; DataError for other files, such as pickles."""
    require_file(path)
    # numpy's header parsers raise many types; a header that states a larger size than the file is rejected
    with reading(f"{path}: not a readable .npy file of numbers", Exception):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(array, np.ndarray):  # numpy detects the format by content
        array.close()
        raise DataError(f"{path}: an .npz archive named .npy. Save a single array with numpy.save")
    return array


def read_text(path: Path) -> str:
    """Return the content of a UTF-8 text file, without a byte-order mark; DataError if it cannot be read."""
    require_file(path)
    with reading(f"{path}: cannot be read as UTF-8 text", OSError, UnicodeDecodeError):
        return read_bytes(path).decode("utf-8-sig")


def read_json(path: Path, kind: type[T], what: str, hint: str = "") -> T:
    """Return the value in a JSON file.

    Args:
        path: The file.
        kind: Required type of the value, such as a `TypedDict`; see `configs.find_misfit`.
        what: Description of the file, for messages.
        hint: Advice at the end of messages.

    Raises:
        DataError: If the file cannot be read, is not JSON, or has a value of another type. The message
            names the file and the key.
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


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check_sums(folder: Path) -> None:
    """Raise DataError if a file of an exported folder differs from its hash; do nothing without SUMS."""
    path = folder / SUMS
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else ():
        sha256, _, name = line.partition("  ")
        if not (folder / name).is_file() or file_sha256(folder / name) != sha256:
            raise DataError(
                f"{folder / name}: damaged or missing (it does not match {SUMS}). Export it again"
            )


def content_sha256(value: Mapping[str, Any]) -> str:
    """Return the hash of a JSON object without its `sha256`; ValueError for NaN or infinity."""
    content = {key: item for key, item in value.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()


def unseal(path: Path, value: Mapping[str, Any], hint: str = "", is_old: bool = False) -> dict[str, Any]:
    """Verify a JSON object's `sha256` and return the rest; published records of 0.1 (`is_old`) lack it.

    Raises:
        DataError: If a number is not finite, or the hash is missing or wrong. The message names `path` and
            ends with `hint`.
    """
    content = dict(value)
    try:
        sha256 = content_sha256(content)
    except ValueError:
        raise DataError(f"{path}: contains a number that is not finite{hint}") from None
    if content.pop("sha256", sha256 if is_old else None) != sha256:
        raise DataError(f"{path}: edited or damaged (its content does not match its sha256){hint}")
    return content


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text; ValueError for invalid or too deeply nested text."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def parse_rows(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield the objects in JSON lines; other lines, such as a truncated last line, are skipped."""
    for line in lines:
        try:
            row = parse_json(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            yield row
