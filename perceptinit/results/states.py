"""The state of a run, read from its folder, and the lock that assigns the run to a process.

Several processes can share an output folder. Each locks a run before it reads the state, so no run is
executed twice. If a process dies, the operating system releases the lock and another process resumes the run
from its last checkpoint. A network folder requires a file system that supports `flock` (NFS 4, Lustre with
`flock`, GPFS).
"""

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
from perceptinit.files.atomic import file_lock, remove_files
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
    """Try to lock the run in `folder` for the block, and yield whether this process has the lock.

    Raises:
        WriteError: If the file system does not support locks, or the folder is not writable.
    """
    with file_lock(folder / LOCK_FILE, timeout=0) as is_mine:
        if not is_mine:
            yield False
            return
        note = {"host": socket.gethostname(), "pid": os.getpid()}
        with suppress(OSError):  # informational only
            (folder / HOLDER_FILE).write_text(json.dumps(note), encoding="utf-8")
        try:
            yield True
        finally:
            remove_files([folder / HOLDER_FILE])


def is_claimed(folder: Path) -> bool:
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
    """Return `host` and `pid` of the process that last locked a run; empty if unknown."""
    try:
        return dict(read_json(folder / HOLDER_FILE, Holder, "a note"))
    except DataError:
        return {}


def describe_holder(folder: Path) -> str:
    """Return a description of the process that locked a run: `process 4711 on node3`."""
    who = holder(folder)
    return f"process {who['pid']} on {who['host']}" if who else "another process"


State = Literal["finished", "running", "interrupted", "failed", "stopped", "not started", "unreadable"]


@dataclass(frozen=True, slots=True)
class RunState:
    """The state of a run.

    Attributes:
        state: `stopped` if the process was killed or the machine lost power, without an error in the record.
        record: Record of the run; empty if it is missing or unreadable.
        reason: Why the run is not finished, if known.
    """

    state: State
    record: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""

    @property
    def is_finished(self) -> bool:
        return self.state == "finished"


def run_folder(root: Path, arm: str, seed: int, origins: Mapping[str, Origin]) -> Path:
    """Return the folder of a run, given the output folder `root` of its recipe.

    A run reused from another experiment is in that experiment's folder, unless `root` already contains it.
    """
    own = root / arm / f"seed{seed}"
    origin = origins.get(arm)
    if origin is None or seed not in origin.seeds or (own / RECORD).exists():
        return own
    return root.parent / origin.name / arm / f"seed{seed}"


def run_state(folder: Path) -> RunState:
    """Return the state of the run in `folder`, which may not exist."""
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
        reason = "its process ended; rerun the same `perceptinit run` to resume it"
        return RunState("stopped", record, reason)
    return RunState(record["status"], record, record.get("error", ""))
