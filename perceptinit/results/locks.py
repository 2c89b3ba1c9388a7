"""The lock that assigns a run to one of the processes that share an output folder.

Each process locks a run before it reads the state, so no run is executed twice. If a process dies, the
operating system releases the lock and another process resumes the run from its last checkpoint. A network
folder requires a file system that supports `flock` (NFS 4, Lustre with `flock`, GPFS).
"""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NotRequired

from typing_extensions import TypedDict

from perceptinit.errors import DataError, WriteError
from perceptinit.files.atomic import file_lock, remove_files
from perceptinit.files.reading import read_json

LOCK_FILE = ".run.lock"
HOLDER_FILE = ".run.json"


class Holder(TypedDict):
    host: str
    pid: int
    parent: NotRequired[int]


@contextmanager
def lock(folder: Path) -> Iterator[bool]:
    """Try to lock the run in `folder` for the block, and yield whether this process has the lock.

    Raises:
        WriteError: If the file system does not support locks, or the folder is not writable.
    """
    with file_lock(folder / LOCK_FILE, timeout=0) as is_mine:
        if not is_mine:
            yield False
            return
        note = {"host": socket.gethostname(), "pid": os.getpid(), "parent": os.getppid()}
        with suppress(OSError):  # informational only
            (folder / HOLDER_FILE).write_text(json.dumps(note), encoding="utf-8")
        try:
            yield True
        finally:
            remove_files([folder / HOLDER_FILE])


def is_locked(folder: Path) -> bool:
    """Return whether a running process has locked the run in `folder`.

    The lock cannot be tested in a read-only folder. There, a run counts as locked if `holder` is not empty.
    """
    if not (folder / LOCK_FILE).exists():
        return False
    try:
        with file_lock(folder / LOCK_FILE, timeout=0) as is_free:
            return not is_free
    except WriteError:
        return bool(holder(folder))


def holder(folder: Path) -> dict[str, Any]:
    """Return `host`, `pid` and `parent` of the process that last locked a run; empty if unknown."""
    try:
        return dict(read_json(folder / HOLDER_FILE, Holder, "a note"))
    except DataError:
        return {}


def is_sibling(folder: Path) -> bool:
    """Return whether the process that last locked a run has the same parent as this one."""
    who = holder(folder)
    return who.get("host") == socket.gethostname() and who.get("parent") == os.getppid()


def describe_holder(folder: Path) -> str:
    """Return a description of the process that locked a run: `process 4711 on node3`."""
    who = holder(folder)
    return f"process {who['pid']} on {who['host']}" if who else "another process"
