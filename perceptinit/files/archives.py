"""Unpack archives so that no member can land outside the folder, and a damaged archive leaves nothing."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from perceptinit.errors import DataError

DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError, NotImplementedError)


def unpack(archive: Path, folder: Path, *, root: str = "") -> list[str]:
    """Unpack the files of a .zip, .tar or .tar.gz into a folder; return their paths in it, sorted.

    root: a folder of the archive, such as "repository-1.0/data". If the archive has it, what is in it
    is unpacked without that prefix and the rest is left out; else all is unpacked as it is. Links and
    devices are refused. All is unpacked beside its place first: a damaged archive leaves the folder
    as it was.

    Raises DataError for a damaged archive, and for a member that would land outside the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".unpacking-") as name:
        staging = Path(name)
        try:
            for member, file in _members(archive):
                _write(file, staging / _inside(archive, member))
        except DAMAGED as error:
            raise DataError(f"{archive}: damaged archive ({error})") from error
        tree = staging / root if (staging / root).is_dir() else staging
        paths = _merge(tree, folder)
    if not paths:
        raise DataError(f"{archive}: no files in it")
    return paths


def _members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield the path and content of each regular file; DataError for links and devices."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:  # reading checks each member's CRC
            for info in file.infolist():
                if (info.external_attr >> 16) & 0o170000 == 0o120000:
                    raise DataError(f"{archive}: member '{info.filename}' is a link; not unpacked")
                if not info.is_dir():
                    with file.open(info) as content:
                        yield info.filename, content
        return
    with tarfile.open(archive, "r:*") as tar:
        for member in tar:
            if member.isdir():
                continue
            data = tar.extractfile(member) if member.isreg() else None
            if data is None:
                raise DataError(
                    f"{archive}: member '{member.name}' is no regular file; not unpacked"
                )
            yield member.name, data


def _inside(archive: Path, member: str) -> PurePosixPath:
    """Return a member's path, which stays inside the folder; DataError when it would not."""
    path = PurePosixPath(member.replace("\\", "/"))
    is_drive = bool(path.parts) and path.parts[0].endswith(":")
    if not path.parts or path.is_absolute() or ".." in path.parts or is_drive or "\0" in member:
        raise DataError(f"{archive}: member '{member}' would land outside the folder; not unpacked")
    return path


def _write(content: IO[bytes], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        shutil.copyfileobj(content, file, 1 << 20)


def _merge(tree: Path, folder: Path) -> list[str]:
    """Move all files of a tree into the folder, replacing those of the same name; return their paths."""
    paths = sorted(path.relative_to(tree) for path in tree.rglob("*") if path.is_file())
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).replace(folder / path)
    return [path.as_posix() for path in paths]
