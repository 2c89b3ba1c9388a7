"""Atomic writes, cleanup of the temporary files of killed processes, and locks between processes."""

import errno
import hashlib
import json
import os
import re
import shutil
import socket
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from perceptinit.errors import WriteError, writing

# temporary files and folders of this module, with process, machine and a random number, or SQLite's for them;
# files of safetensors
_TEMPORARY = re.compile(
    r"\..+\.(?P<pid>\d+)-(?P<machine>[0-9a-f]{8})?[0-9a-f]{1,8}\.tmp(-wal|-shm|-journal)?|\.tmp\w{6}"
)

ABANDONED_SECONDS = 3600.0


@contextmanager
def atomic_path(
    path: Path, synced: bool = False, where: Path | None = None, mode: int = 0o666
) -> Iterator[Path]:
    """Yield a temporary path, which is renamed to `path` if the block succeeds and removed otherwise.

    The first write of a process into a folder removes the temporary files of killed processes there.

    Args:
        path: The final path.
        synced: Whether to sync the file and its folder to disk, so that they survive a power failure.
        where: Folder of the temporary file, on the same file system. Default: the folder of `path`.
        mode: Permissions of the file before the umask applies; 0o600 for a file that only its owner can read.

    Raises:
        WriteError: If the file cannot be written.
    """
    temporary = _name_temporary(path, where)
    try:
        with writing(path):
            for folder in {path.parent, temporary.parent}:
                folder.mkdir(parents=True, exist_ok=True)
            remove_abandoned(temporary.parent)
            temporary.touch(mode)
            mode = temporary.stat().st_mode
            yield temporary
            temporary.chmod(mode)  # safetensors creates files that only their owner can access
            if synced:
                _sync(temporary)
            temporary.replace(path)
            if synced:
                _sync(path.parent)
    finally:
        remove_files([temporary])


@contextmanager
def temporary_folder(path: Path, where: Path | None = None) -> Iterator[Path]:
    """Yield a new folder for files that become `path`; it is removed at the end unless it was renamed.

    For writers that create further files beside their file, which a kill would leave under any name.

    Args:
        path: The final path.
        where: Parent of the folder, as in `atomic_path`.

    Raises:
        WriteError: If the folder cannot be created.
    """
    folder = _name_temporary(path, where)
    with writing(path):
        remove_abandoned(folder.parent)
        folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        remove_files([folder])


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder, which is renamed to `path` if the block succeeds and removed otherwise.

    Raises:
        WriteError: If the folder cannot be written, or `path` exists and is not an empty folder.
    """
    with temporary_folder(path) as folder, writing(path):
        yield folder
        folder.rename(path)


def _name_temporary(path: Path, where: Path | None) -> Path:
    return (where or path.parent) / f".{path.name}.{os.getpid()}-{_machine()}{uuid.uuid4().hex[:8]}.tmp"


@cache
def _machine() -> str:
    """Return a hash of the machine and its namespace of process ids, as 8 hexadecimal digits."""
    namespace = Path("/proc/self/ns/pid").resolve().name
    return hashlib.sha256(f"{socket.gethostname()} {namespace}".encode()).hexdigest()[:8]


def _sync(path: Path) -> None:
    """Sync a file or a folder to disk; file systems that cannot sync folders are accepted."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def write_file(path: Path, content: bytes, synced: bool = False, mode: int = 0o666) -> None:
    """Write a file atomically, see `atomic_path`."""
    with atomic_path(path, synced, mode=mode) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value: Any, synced: bool = False) -> None:
    """Write JSON atomically, see `atomic_path`; ValueError for NaN or infinity."""
    write_file(path, f"{json.dumps(value, indent=2, allow_nan=False)}\n".encode(), synced)


def remove_files(paths: Iterable[Path]) -> list[str]:
    """Remove files and temporary folders, and return a message for each failure."""
    complaints = []
    for path in paths:
        try:
            if _TEMPORARY.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            complaints.append(f"{path}: could not be removed ({error.strerror or error})")
    return complaints


def temporaries(folder: Path) -> list[Path]:
    """Return the temporary files and folders in a folder."""
    found = (path for path in folder.glob(".*tmp*") if _TEMPORARY.fullmatch(path.name))
    return sorted(path for path in found if not path.is_symlink())


def abandoned(folder: Path) -> list[Path]:
    """Return the temporary files and folders that killed processes left in a folder.

    Their process has ended or, if another machine created them, they are older than an hour. Files of
    safetensors do not name their process, and may belong to another program, so they are not returned.
    """
    return [path for path in temporaries(folder) if _is_abandoned(path)]


@cache
def remove_abandoned(folder: Path) -> None:
    """Remove what `abandoned` returns, once per process, because the scan of a large folder is slow."""
    remove_files(abandoned(folder))


def _is_abandoned(temporary: Path) -> bool:
    named = _TEMPORARY.fullmatch(temporary.name)
    if not named or not named["pid"]:
        return False
    try:
        if named["machine"] == _machine():
            os.kill(int(named["pid"]), 0)
        with TemporaryFile(dir=temporary.parent) as probe:
            now = os.fstat(probe.fileno()).st_mtime  # by the clock of the file system, which machines share
        return temporary.stat().st_mtime < now - ABANDONED_SECONDS
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # a process of another user, a read-only folder, or a file that is gone
        return False


@contextmanager
def file_lock(path: Path, timeout: float = -1) -> Iterator[bool]:
    """Lock `path` during the block; yield whether the lock was acquired.

    The operating system releases the lock when the process ends.

    Args:
        path: The lock file, created if absent.
        timeout: Seconds to wait for another process; -1 waits without limit.

    Raises:
        WriteError: If the file system does not support locks, or the file cannot be created.
    """
    from filelock import FileLock, Timeout

    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        # a soft lock would outlive a killed process
        lock = FileLock(path, fallback_to_soft=False).acquire(timeout=timeout)
    except Timeout:
        yield False
        return
    except OSError as error:
        raise WriteError(
            path,
            f"locking failed: {error.strerror or error}; flock works on NFS 4, on GPFS, and on Lustre with "
            "`-o flock`",
        ) from error
    with lock:
        yield True
