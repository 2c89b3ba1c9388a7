"""States of runs, their folders, and the runs that were submitted as Slurm jobs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NotRequired

from typing_extensions import TypedDict

from perceptinit.files.atomic import write_json
from perceptinit.files.reading import read_json
from perceptinit.recipe.text import Origin
from perceptinit.results.record import RECORD

FOLDER = ".slurm"  # not a valid arm name
JOBS = "jobs.json"
Task = str  # array task id of Slurm, such as 17_4

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


def note_job(root: Path, job: str, runs: Sequence[SubmittedRun]) -> None:
    """Record the runs of the job array `job` in `root`, in the order of its tasks."""
    write_json(root / FOLDER / JOBS, [*read_jobs(root), {"id": job, "runs": runs}])


def find_submitted(root: Path) -> dict[tuple[str, int], tuple[Task, str | None]]:
    """Return the most recently submitted task of each run (arm and seed) in `root`, with its fingerprint.

    Raises:
        DataError: If the list of jobs is damaged.
    """
    return {
        (run["arm"], run["seed"]): (f"{job['id']}_{i}", run.get("fingerprint"))
        for job in read_jobs(root)
        for i, run in enumerate(job["runs"])
    }


def read_jobs(root: Path) -> list[SubmittedJob]:
    """Return the job arrays that were submitted for the runs in `root`, the oldest first."""
    file = root / FOLDER / JOBS
    if not file.exists():
        return []
    return read_json(file, list[SubmittedJob], "a list of jobs", ". Remove it when the queue is empty")
