"""Which state a run is in, read from its folder alone, and who works on it.

Many workers may share one output folder. Each claims a run by a lock before it looks at what is done, so
no run is done twice. The operating system drops the lock when the process dies, and another worker
continues the run from its last checkpoint. On a network folder this needs a file system with working
`flock` (NFS 4, Lustre with `flock`, GPFS).
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from typing_extensions import TypedDict

from perceptinit.errors import DataError, WriteError
from perceptinit.files.atomic import remove_files
from perceptinit.files.locks import file_lock
from perceptinit.files.reading import read_json
from perceptinit.recipe.text import Origin
from perceptinit.results.record import RECORD, read_record

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
    """Return whether a living process holds the run in `folder`.

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


State = Literal["finished", "running", "interrupted", "failed", "stopped", "not started", "unreadable"]


@dataclass(frozen=True, slots=True)
class RunState:
    """A run as its folder shows it.

    state: `stopped` is a run whose process is gone without a word, as after a kill or a power cut;
    `not started` one that nobody began.
    record: empty when there is none, or none that can be read.
    reason: why it is not finished, as far as it is known.
    """

    state: State
    record: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""

    @property
    def is_finished(self) -> bool:
        return self.state == "finished"


def run_folder(root: Path, arm: str, seed: int, origins: Mapping[str, Origin]) -> Path:
    """Return the folder of a run of the recipe whose runs are in `root`.

    A run that is shared with the recipe of an arm's origin is in that recipe's folder, unless it is in `root` already.
    """
    own, origin = root / arm / f"seed{seed}", origins.get(arm)
    if origin is None or seed not in origin.seeds or (own / RECORD).exists():
        return own
    return root.parent / origin.name / arm / f"seed{seed}"


def run_state(folder: Path) -> RunState:
    """Return the state of the run in `folder`, whether or not there is such a folder."""
    if not (folder / RECORD).exists():
        if folder.exists() and is_claimed(folder):
            return RunState("running", reason="in its first stage")
        ended = RunState("stopped", reason="ended before its first record")
        return ended if folder.exists() else RunState("not started")
    try:
        record = read_record(folder / RECORD)
    except DataError as error:
        return RunState("unreadable", reason=str(error))
    if record["status"] == "running" and not is_claimed(folder):
        reason = "its process is gone; the same `perceptinit run` continues it"
        return RunState("stopped", record, reason)
    return RunState(record["status"], record, record.get("error", ""))
