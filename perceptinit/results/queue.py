"""Slurm jobs of runs, and their state in the queue."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NotRequired

from typing_extensions import TypedDict

from perceptinit.errors import UsageError
from perceptinit.files.atomic import write_json
from perceptinit.files.reading import read_json

FOLDER = ".slurm"  # not a valid arm name
JOBS = "jobs.json"
ANSWER_SECONDS = 60
FORGOTTEN = "Invalid job id specified"  # error of squeue if all requested jobs ended minutes ago

Task = str  # array task id, such as 17_4


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


def find_submitted(root: Path) -> dict[tuple[str, int], Task]:
    """Return the most recently submitted task of each run (arm and seed) in `root`.

    Raises:
        DataError: If the list of jobs is damaged.
    """
    return {
        (run["arm"], run["seed"]): f"{job['id']}_{i}"
        for job in _read_jobs(root)
        for i, run in enumerate(job["runs"])
    }


def find_fingerprints(root: Path) -> dict[tuple[str, int], str]:
    """Return the fingerprint of each run (arm and seed) in its most recent job."""
    runs = [run for job in _read_jobs(root) for run in job["runs"]]
    return {(run["arm"], run["seed"]): run["fingerprint"] for run in runs if "fingerprint" in run}


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
        return {run: f"job {task} ({error})" for run, task in tasks.items()}
    return {
        run: f"job {task} {now[task]}"
        if task in now
        else f"job {task} ended, log: {root / FOLDER / task}.log"
        for run, task in tasks.items()
    }
