"""Locks between processes, which the operating system drops when their holder dies, however it dies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from perceptinit.errors import WriteError, writing


@contextmanager
def file_lock(path: Path, timeout: float = -1) -> Iterator[bool]:
    """Hold the lock that `path` stands for during the block; gives whether it is held.

    timeout: seconds to wait for another process that holds it; -1 waits for ever.

    Raises WriteError where the file system knows no locks, or the file cannot be made: without a lock two
    processes would do the same work and mix their files.
    """
    from filelock import FileLock, Timeout

    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, fallback_to_soft=False)  # a soft one would outlive a process that is killed
    try:
        lock.acquire(timeout=timeout)
    except Timeout:
        yield False
        return
    except OSError as error:
        reason = f"no lock on it: {error.strerror or error}; flock works on NFS 4, on GPFS, and on Lustre with `-o flock`"
        raise WriteError(path, reason) from error
    try:
        yield True
    finally:
        lock.release()
