"""Runs in the queue of a cluster: the jobs submitted for them, and their state in Slurm."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NotRequired

from typing_extensions import TypedDict

from perceptinit.errors import UsageError
from perceptinit.files.atomic import write_json
from perceptinit.files.reading import read_json

FOLDER = ".slurm"  # cannot be the name of an arm
JOBS = "jobs.json"
ANSWER_SECONDS = 60
FORGOTTEN = "Invalid job id specified"  # squeue, of an only job that ended minutes ago

Task = str  # of a job array: "17_4"


class QueuedRun(TypedDict):
    arm: str
    seed: int


class SubmittedRun(QueuedRun):
    fingerprint: NotRequired[str]


class Job(TypedDict):
    id: str
    runs: list[SubmittedRun]


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


def note_job(root: Path, job: str, runs: Sequence[SubmittedRun]) -> None:
    """Write to the folder of the runs which of them the array `job` does, in the order of its tasks."""
    write_json(root / FOLDER / JOBS, [*_read_jobs(root), {"id": job, "runs": runs}])


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


def find_fingerprints(root: Path) -> dict[tuple[str, int], str]:
    """Return the fingerprint of each run (arm and seed) in its newest job."""
    runs = [run for job in _read_jobs(root) for run in job["runs"]]
    return {(run["arm"], run["seed"]): run["fingerprint"] for run in runs if "fingerprint" in run}


def _read_jobs(root: Path) -> list[Job]:
    file = root / FOLDER / JOBS
    if not file.exists():
        return []
    return read_json(file, list[Job], "notes on jobs", ". Remove it once nothing is queued")


def queue(root: Path) -> dict[Task, str]:
    """Return the unfinished tasks of the jobs of `root`: `pending (Priority)`, `running on n7`.

    Jobs are found by number, as `[slurm] options` may set their name.

    Raises:
        UsageError: If Slurm does not answer.
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
    """Return the state of the job of each submitted run in `root`; calls Slurm only if there are any."""
    tasks = find_submitted(root)
    try:
        now = queue(root)
    except UsageError as error:
        return {run: f"job {task} ({error})" for run, task in tasks.items()}
    return {
        run: f"job {task} {now[task]}"
        if task in now
        else f"job {task} is over, its log: {root / FOLDER / task}.log"
        for run, task in tasks.items()
    }
