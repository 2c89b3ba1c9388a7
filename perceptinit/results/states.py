"""The state of a run, read from its folder, and the process that works on it.

Several processes may share one output folder. Each claims a run by a lock before it reads its state, so no
run is done twice. The operating system drops the lock when the process dies, and another process resumes the
run from its last checkpoint. A network folder needs a file system with working `flock` (NFS 4, Lustre with
`flock`, GPFS).
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
    """Hold the run in `folder` for the block unless another process does; yield whether it is held.

    Raises:
        WriteError: If the file system has no locks, or the folder cannot be written.
    """
    with file_lock(folder / LOCK_FILE, timeout=0) as is_mine:
        if not is_mine:
            yield False
            return
        note = {"host": socket.gethostname(), "pid": os.getpid()}
        with suppress(OSError):  # for people: no run depends on it
            (folder / HOLDER_FILE).write_text(json.dumps(note), encoding="utf-8")
        try:
            yield True
        finally:
            remove_files([folder / HOLDER_FILE])


def is_claimed(folder: Path) -> bool:
    """Return whether a living process holds the run in `folder`.

    The note of the holder decides if the folder cannot be written, because the lock cannot be tried.
    """
    if not (folder / LOCK_FILE).exists():
        return False
    try:
        with file_lock(folder / LOCK_FILE, timeout=0) as is_free:
            return not is_free
    except WriteError:
        return bool(holder(folder))


def holder(folder: Path) -> dict[str, Any]:
    """Return `host` and `pid` of the process that holds (or held, if killed) a run; empty if unknown."""
    try:
        return dict(read_json(folder / HOLDER_FILE, Holder, "a note"))
    except DataError:
        return {}


def describe_holder(folder: Path) -> str:
    """Return the process that holds a run in words: `process 4711 on node3`."""
    who = holder(folder)
    return f"process {who['pid']} on {who['host']}" if who else "another process"


State = Literal["finished", "running", "interrupted", "failed", "stopped", "not started", "unreadable"]


@dataclass(frozen=True, slots=True)
class RunState:
    """The state of a run.

    Attributes:
        state: `stopped` if its process ended without a message, as after a kill or a power cut.
        record: Empty if it is absent or cannot be read.
        reason: Why the run is not finished, if known.
    """

    state: State
    record: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""

    @property
    def is_finished(self) -> bool:
        return self.state == "finished"


def run_folder(root: Path, arm: str, seed: int, origins: Mapping[str, Origin]) -> Path:
    """Return the folder of a run of the recipe whose runs are in `root`.

    A run shared with the recipe of the arm's origin is in that recipe's folder, unless `root` already has it.
    """
    own, origin = root / arm / f"seed{seed}", origins.get(arm)
    if origin is None or seed not in origin.seeds or (own / RECORD).exists():
        return own
    return root.parent / origin.name / arm / f"seed{seed}"


def run_state(folder: Path) -> RunState:
    """Return the state of the run in `folder`, which may be absent."""
    if not folder.exists():
        return RunState("not started")
    if not (folder / RECORD).exists():
        if is_claimed(folder):
            return RunState("running", reason="in its first stage")
        return RunState("stopped", reason="ended before its first record")
    try:
        record = read_record(folder / RECORD)
    except DataError as error:
        return RunState("unreadable", reason=str(error))
    if record["status"] == "running" and not is_claimed(folder):
        reason = "its process is gone; the same `perceptinit run` continues it"
        return RunState("stopped", record, reason)
    return RunState(record["status"], record, record.get("error", ""))
