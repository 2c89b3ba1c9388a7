"""Unpack archives safely: only into the target folder, and completely or not at all."""

import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from perceptinit.errors import DataError, reading, shown, writing
from perceptinit.files.atomic import temporary_folder

CHUNK_BYTES = 1 << 20
# disk space that must remain free
SPARE_BYTES = 256 << 20


def unpack(archive: Path, folder: Path, *, root: str = "", max_bytes: int | None = None) -> list[str]:
    """Unpack a .zip, .tar or .tar.gz archive into a folder; return the sorted relative paths.

    Files are unpacked to a temporary folder first, so a damaged archive leaves the target unchanged. Links
    and devices are refused.

    Args:
        archive: Path of the archive.
        folder: Target folder.
        root: Folder in the archive, such as "repository-1.0/data". If it exists, only its contents are
            unpacked, without this prefix.
        max_bytes: Maximum total size of the unpacked files; None: the free disk space.

    Raises:
        DataError: If the archive is empty, damaged or encrypted, exceeds `max_bytes`, or has a member that
            is refused.
        NoRoomError: If the disk is nearly full.
        WriteError: If the folder cannot be written.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with temporary_folder(folder / "unpacking") as staging:
            _unpack_into(staging, archive, max_bytes)
            tree = staging / root if (staging / root).is_dir() else staging
            paths = _merge(archive, tree, folder)
    if not paths:
        raise DataError(f"{archive}: the archive contains no files")
    return paths


def _unpack_into(staging: Path, archive: Path, max_bytes: int | None) -> None:
    num_bytes = 0
    with reading(f"{archive}: damaged archive", Exception):  # damaged archives raise many exception types
        members = _zip_members if zipfile.is_zipfile(archive) else _tar_members
        for member, content in members(archive):
            with _create(archive, staging, member) as file:
                while chunk := content.read(CHUNK_BYTES):
                    num_bytes += len(chunk)
                    if max_bytes is not None and num_bytes > max_bytes:
                        raise DataError(f"{archive}: unpacks to more than {max_bytes:,} bytes")
                    check_room(staging, len(chunk))
                    with writing(staging):
                        file.write(chunk)


class NoRoomError(DataError):
    """The disk is nearly full. Received data is not deleted."""


def check_room(folder: Path, num_bytes: int) -> None:
    """Raise NoRoomError if less than SPARE_BYTES would remain free after writing `num_bytes`."""
    if shutil.disk_usage(folder).free < SPARE_BYTES + num_bytes:
        raise NoRoomError(
            f"{folder}: less than {SPARE_BYTES >> 20} MB would remain on the disk. Free some space and rerun"
        )


def _zip_members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(archive) as file:  # reading checks each member's CRC
        for info in file.infolist():
            if (info.external_attr >> 16) & 0o170000 == 0o120000:
                raise _refused(archive, info.filename, "is a link")
            if info.flag_bits & 1:
                raise _refused(archive, info.filename, "is encrypted")
            if "\0" in info.orig_filename:  # zipfile truncates the name
                raise _refused(archive, info.orig_filename, "has a name with a null byte")
            if not info.is_dir():
                with file.open(info) as content:
                    yield info.filename, content


def _tar_members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(archive, "r:*") as tar:
        for member in tar:
            if member.isdir():
                continue
            data = tar.extractfile(member) if member.isreg() else None
            if data is None:
                raise _refused(archive, member.name, "is not a regular file")
            yield member.name, data


def _create(archive: Path, staging: Path, member: str) -> IO[bytes]:
    """Create and open the file of a member; DataError if its path is invalid or outside the folder."""
    path = PurePosixPath(member.replace("\\", "/"))
    is_drive = bool(path.parts) and path.parts[0].endswith(":")
    if not path.parts or path.is_absolute() or ".." in path.parts or is_drive or "\0" in member:
        raise _refused(archive, member, "has a path that is invalid or outside the folder")
    place = staging / path
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        return place.open("wb")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _refused(archive, member, f"cannot be written ({reason})") from error


def _merge(archive: Path, tree: Path, folder: Path) -> list[str]:
    """Move all files of a tree into the folder and return their paths; DataError for a conflict."""
    paths = sorted(path.relative_to(tree) for path in tree.rglob("*") if path.is_file())
    for path in paths:
        in_the_way = [p for p in path.parents if (folder / p).exists() and not (folder / p).is_dir()]
        if in_the_way or (folder / path).is_dir():
            place = folder / (in_the_way[0] if in_the_way else path)
            raise _refused(archive, path.as_posix(), f"conflicts with {place}")
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).replace(folder / path)
    return [path.as_posix() for path in paths]


def _refused(archive: Path, member: str, why: str) -> DataError:
    return DataError(f"{archive}: refused, because member '{shown(member)}' {why}")
