"""Runs in the queue of a cluster: the jobs submitted for them, and their state in Slurm."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from typing_extensions import TypedDict

from perceptinit.errors import UsageError
from perceptinit.files.atomic import write_json
from perceptinit.files.reading import read_json

FOLDER = ".slurm"  # cannot be the name of an arm
JOBS = "jobs.json"
ANSWER_SECONDS = 60

Task = str  # of a job array: "17_4"


class QueuedRun(TypedDict):
    arm: str
    seed: int


class Job(TypedDict):
    id: str
    runs: list[QueuedRun]


def ask(command: Sequence[str], text: str = "") -> str:
    """Return the output of a program of Slurm, with `text` as its standard input; UsageError if it fails."""
    name = command[0]
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, check=False, timeout=ANSWER_SECONDS
        )
    except FileNotFoundError:
        raise UsageError(f"`{name}` not found: this machine is not part of a Slurm cluster") from None
    except subprocess.TimeoutExpired:
        raise UsageError(f"{name} does not answer: is Slurm's controller up? (sinfo)") from None
    if done.returncode:
        raise UsageError(f"{name} refused: {' '.join(done.stderr.split()) or done.returncode}")
    return done.stdout


def note_job(root: Path, job: str, runs: Sequence[tuple[str, int]]) -> None:
    """Write to the folder of the runs which of them the array `job` does, in the order of its tasks."""
    known = [*_read_jobs(root), {"id": job, "runs": [{"arm": a, "seed": s} for a, s in runs]}]
    write_json(root / FOLDER / JOBS, known)


def find_submitted(root: Path) -> dict[tuple[str, int], Task]:
    """Return the newest submitted task of each run (arm and seed) in `root`.

    Raises:
        DataError: If the file of jobs is damaged.
    """
    return {
        (run["arm"], run["seed"]): f"{job['id']}_{i}"
        for job in _read_jobs(root)
        for i, run in enumerate(job["runs"])
    }


def _read_jobs(root: Path) -> list[Job]:
    file = root / FOLDER / JOBS
    if not file.exists():
        return []
    return read_json(file, list[Job], "notes on jobs", ". Remove it once nothing is queued")


def queue(root: Path) -> dict[Task, str]:
    """Return the unfinished tasks of the runs in `root`: `pending (Priority)`, `running on n7`.

    Raises:
        UsageError: If Slurm does not answer.
    """
    command = ["squeue", "--noheader", "--array", f"--name={root.name}", "--format=%F_%K|%T|%R"]
    rows = [line.strip().split("|", 2) for line in ask(command).splitlines() if "|" in line]
    found = {}
    for task, state, why in rows:
        place = why if why.startswith("(") or not why else f"on {why}"
        found[task] = f"{state.lower()} {place.removeprefix('(None)')}".rstrip()
    return found


def in_queue(root: Path) -> dict[tuple[str, int], str]:
    """Return the state of the job of each submitted run in `root`; calls Slurm only if there are any."""
    tasks = find_submitted(root)
    try:
        now = queue(root) if tasks else {}
    except UsageError as error:
        return {run: f"job {task} ({error})" for run, task in tasks.items()}
    return {
        run: f"job {task} {now[task]}"
        if task in now
        else f"job {task} is over, its log: {root / FOLDER / task}.log"
        for run, task in tasks.items()
    }
