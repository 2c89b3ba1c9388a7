"""Who works on a run: a lock on its folder, which the operating system drops when the process dies.

Many workers may share one output folder. Each claims a run before it looks at what is done, so no
run is done twice; a worker that is killed loses its claim at once, whatever it was doing, and
another one continues from the run's last checkpoint. On a network folder this needs a file system
with working `flock` (NFS 4, Lustre with `flock`, GPFS).
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from perceptinit.errors import DataError, WriteError
from perceptinit.files.atomic import remove_files
from perceptinit.files.locks import file_lock
from perceptinit.files.reading import read_json

LOCK_FILE = ".claim.lock"
HOLDER_FILE = ".claim.json"


class Holder(TypedDict):
    host: str
    pid: int


@contextmanager
def claim(folder: Path) -> Iterator[bool]:
    """Hold the run in `folder` for the block if nobody else does; gives whether it is held.

    Raises WriteError where that cannot be told, as on a file system without locks.
    """
    with file_lock(folder / LOCK_FILE, timeout=0) as is_mine:
        if not is_mine:
            yield False
            return
        note = {"host": socket.gethostname(), "pid": os.getpid()}
        with suppress(OSError):  # for people to read: no run depends on it
            (folder / HOLDER_FILE).write_text(json.dumps(note), encoding="utf-8")
        try:
            yield True
        finally:
            remove_files([folder / HOLDER_FILE])


def is_claimed(folder: Path) -> bool:
    """Say whether a living process holds the run in `folder`.

    Where the folder cannot be written the lock cannot be tried, and the holder's note is believed.
    """
    if not (folder / LOCK_FILE).exists():
        return False
    try:
        with file_lock(folder / LOCK_FILE, timeout=0) as is_free:
            return not is_free
    except WriteError:
        return bool(holder(folder))


def holder(folder: Path) -> dict[str, Any]:
    """Return `host` and `pid` of who holds (or, when killed, held) a run; empty when unknown."""
    try:
        return dict(read_json(folder / HOLDER_FILE, Holder, "a note"))
    except DataError:
        return {}
