"""The state of a run, from its folder and from Slurm, and the lock that assigns the run to a process.

Several processes can share an output folder. Each locks a run before it reads the state, so no run is
executed twice. If a process dies, the operating system releases the lock and another process resumes the run
from its last checkpoint. A network folder requires a file system that supports `flock` (NFS 4, Lustre with
`flock`, GPFS).
"""

import json
import os
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from perceptinit.errors import DataError, UsageError, WriteError
from perceptinit.files.atomic import file_lock, remove_files, write_json
from perceptinit.files.reading import read_json
from perceptinit.recipe.text import Origin
from perceptinit.results.record import RECORD

LOCK_FILE = ".claim.lock"
HOLDER_FILE = ".claim.json"
FOLDER = ".slurm"  # not a valid arm name
JOBS = "jobs.json"
ANSWER_SECONDS = 60
FORGOTTEN = "Invalid job id specified"  # error of squeue if all requested jobs ended minutes ago
Task = str  # array task id of Slurm, such as 17_4


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


# stopped: its process was killed or the machine lost power, without an error in the record
State = Literal["finished", "running", "interrupted", "failed", "stopped", "not started", "unreadable"]


def run_folder(root: Path, arm: str, seed: int, origins: Mapping[str, Origin]) -> Path:
    """Return the folder of a run, given the output folder `root` of its recipe.

    A run reused from another experiment is in that experiment's folder, unless `root` already contains it.
    """
    own = root / arm / f"seed{seed}"
    origin = origins.get(arm)
    if origin is None or seed not in origin.seeds or (own / RECORD).exists():
        return own
    return root.parent / origin.name / arm / f"seed{seed}"


class QueuedRun(TypedDict):
    arm: str
    seed: int


class SubmittedRun(QueuedRun):
    fingerprint: NotRequired[str]


class SubmittedJob(TypedDict):
    id: str
    runs: list[SubmittedRun]


def ask(command: Sequence[str], text: str = "") -> str:
    """Run a Slurm command with `text` as input and return its output; UsageError if it fails."""
    name = command[0]
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, check=False, timeout=ANSWER_SECONDS
        )
    except FileNotFoundError:
        raise UsageError(f"`{name}` not found. This machine is not part of a Slurm cluster") from None
    except subprocess.TimeoutExpired:
        raise UsageError(f"{name} does not respond. Check Slurm's controller with: sinfo") from None
    if done.returncode:
        raise UsageError(f"{name} failed: {' '.join(done.stderr.split()) or f'exit code {done.returncode}'}")
    return done.stdout


def note_job(root: Path, job: str, runs: Sequence[SubmittedRun]) -> None:
    """Record the runs of the job array `job` in `root`, in the order of its tasks."""
    write_json(root / FOLDER / JOBS, [*_read_jobs(root), {"id": job, "runs": runs}])


def find_submitted(root: Path) -> dict[tuple[str, int], tuple[Task, str | None]]:
    """Return the most recently submitted task of each run (arm and seed) in `root`, with its fingerprint.

    Raises:
        DataError: If the list of jobs is damaged.
    """
    return {
        (run["arm"], run["seed"]): (f"{job['id']}_{i}", run.get("fingerprint"))
        for job in _read_jobs(root)
        for i, run in enumerate(job["runs"])
    }


def _read_jobs(root: Path) -> list[SubmittedJob]:
    file = root / FOLDER / JOBS
    if not file.exists():
        return []
    return read_json(file, list[SubmittedJob], "a list of jobs", ". Remove it when the queue is empty")


def queue(root: Path) -> dict[Task, str]:
    """Return the state of each unfinished task: `pending (Priority)`, `running on n7`.

    Jobs are found by id, because `[slurm] options` can set their name.

    Raises:
        UsageError: If Slurm does not respond.
    """
    jobs = [job["id"] for job in _read_jobs(root)]
    if not jobs:
        return {}
    try:
        answer = ask(["squeue", "--noheader", "--array", f"--jobs={','.join(jobs)}", "--format=%F_%K|%T|%R"])
    except UsageError as error:
        if FORGOTTEN not in str(error):
            raise
        return {}
    rows = [line.strip().split("|", 2) for line in answer.splitlines() if "|" in line]
    found = {}
    for task, state, why in rows:
        place = why if why.startswith("(") or not why else f"on {why}"
        found[task] = f"{state.lower()} {place.removeprefix('(None)')}".rstrip()
    return found


def in_queue(root: Path) -> dict[tuple[str, int], str]:
    """Return the job state of each submitted run in `root`. If there are none, Slurm is not queried."""
    tasks = find_submitted(root)
    try:
        now = queue(root)
    except UsageError as error:
        return {run: f"job {task} ({error})" for run, (task, _) in tasks.items()}
    return {
        run: f"job {task} {now[task]}"
        if task in now
        else f"job {task} ended, log: {root / FOLDER / task}.log"
        for run, (task, _) in tasks.items()
    }
