"""Commands of Slurm, and the state of submitted runs in its queue."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from perceptinit.errors import UsageError
from perceptinit.results.states import FOLDER, Task, find_submitted, read_jobs

ANSWER_SECONDS = 60
FORGOTTEN = "Invalid job id specified"  # error of squeue if all requested jobs ended minutes ago


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


def queue(root: Path) -> dict[Task, str]:
    """Return the state of each unfinished task: `pending (Priority)`, `running on n7`.

    Jobs are found by id, because `[jobs] options` can set their name.

    Raises:
        UsageError: If Slurm does not respond.
    """
    jobs = [job["id"] for job in read_jobs(root)]
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
