"""Atomic writes, cleanup of the temporary files of killed processes, and locks between processes."""

import errno
import json
import os
import re
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from perceptinit.errors import WriteError, writing

# temporary files of `atomic_path` and of safetensors
_TEMPORARY = re.compile(r"\..+\.\d+-[0-9a-f]+\.tmp|\.tmp\w{6}")

ABANDONED_SECONDS = 3600.0


@contextmanager
def atomic_path(
    path: Path, synced: bool = False, where: Path | None = None, mode: int = 0o666
) -> Iterator[Path]:
    """Yield a temporary path, which is renamed to `path` if the block succeeds and removed otherwise.

    Args:
        path: The final path.
        synced: Whether to sync the file and its folder to disk, so that they survive a power failure.
        where: Folder of the temporary file, on the same file system. Default: the folder of `path`.
        mode: Permissions of the file before the umask applies; 0o600 for a file that only its owner can read.

    Raises:
        WriteError: If the file cannot be written.
    """
    temporary = (where or path.parent) / f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp"
    try:
        with writing(path):
            for folder in {path.parent, temporary.parent}:
                folder.mkdir(parents=True, exist_ok=True)
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
    """Remove files and return a message for each failure."""
    complaints = []
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            complaints.append(f"{path}: could not be removed ({error.strerror or error})")
    return complaints


def temporaries(folder: Path) -> list[Path]:
    """Return the temporary files that killed processes left in a folder."""
    return sorted(
        path
        for path in folder.glob(".*")
        if _TEMPORARY.fullmatch(path.name) and path.is_file() and not path.is_symlink()
    )


def final_path(temporary: Path) -> Path:
    """Return the final path of a temporary file created by `atomic_path`."""
    return temporary.with_name(temporary.name[1:].rsplit(".", 2)[0])


def remove_abandoned(folder: Path) -> None:
    """Remove temporary files older than an hour from a folder that several processes write to."""
    with suppress(OSError), NamedTemporaryFile(dir=folder) as probe:
        now = os.fstat(probe.fileno()).st_mtime  # by the clock of the file system, which other machines share
        for path in temporaries(folder):
            with suppress(OSError):  # another process removed or completed it
                if path.stat().st_mtime < now - ABANDONED_SECONDS:
                    path.unlink()


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
        where = "flock works on NFS 4, on GPFS, and on Lustre with `-o flock`"
        raise WriteError(path, f"locking failed: {error.strerror or error}; {where}") from error
    with lock:
        yield True
