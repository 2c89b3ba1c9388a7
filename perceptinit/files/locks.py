"""Locks between processes, which the operating system releases when a process ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from perceptinit.errors import WriteError, writing


@contextmanager
def file_lock(path: Path, timeout: float = -1) -> Iterator[bool]:
    """Lock `path` during the block; yield whether the lock was acquired.

    Args:
        path: The lock file, created if absent.
        timeout: Seconds to wait for another process; -1 waits without limit.

    Raises:
        WriteError: If the file system does not support locks, or the file cannot be created.
    """
    from filelock import FileLock, Timeout

    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, fallback_to_soft=False)  # a soft lock would outlive a killed process
    try:
        lock.acquire(timeout=timeout)
    except Timeout:
        yield False
        return
    except OSError as error:
        where = "flock works on NFS 4, on GPFS, and on Lustre with `-o flock`"
        raise WriteError(path, f"locking failed: {error.strerror or error}; {where}") from error
    try:
        yield True
    finally:
        lock.release()
