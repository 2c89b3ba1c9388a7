"""Submit the missing runs of a recipe as a Slurm job array, with one task for each arm and seed.

A task that reaches its time limit or is preempted saves its state and exits with code 75. The job script
then requeues the task, which resumes. After two requeues without a new checkpoint, the task fails. A final
job writes the table when all tasks have ended.
"""

import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from perceptinit.errors import EXIT_CODE, UsageError
from perceptinit.files.atomic import file_lock, write_file
from perceptinit.recipe.recipe import Recipe
from perceptinit.recipe.settings import WARN_SECONDS
from perceptinit.results.states import FOLDER, SubmittedRun, Task, find_submitted, note_job
from perceptinit.running.cells import Cell, check_writable, prepare
from perceptinit.running.commands import PERCEPTINIT, task_words, wrap
from perceptinit.running.frozen import freeze
from perceptinit.running.queue import ask, queue

TABLE = "table.txt"
TABLE_MINUTES = 30
WAIT_SECONDS = 60  # for the other processes of a run after one ends

RUNS = """\
#!/bin/bash
# A run of {source} for each task; made by perceptinit.
{setup}
runs=(
{runs}
)
folders=(
{folders}
)
read -r arm seed <<< "${{runs[$SLURM_ARRAY_TASK_ID]}}"
{rendezvous}fresh=()
{fresh}[ -n "$SLURM_CPUS_PER_TASK" ] && export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK
trap : TERM  # the run receives it as well, and saves
srun --wait={wait} {command} --arm "$arm" --seed "$seed" "${{fresh[@]}}"
code=$?
# the run is saved, and the job was not canceled (it would be completing): requeue this task, not the array
if [ "$code" = {unfinished} ] && scontrol show job "$SLURM_JOB_ID" | grep -q JobState=RUNNING; then
  stops={stops}/${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}.stops  # the newest checkpoint at each stop
  checkpoints=("${{folders[$SLURM_ARRAY_TASK_ID]}}"/checkpoints/checkpoint-*.safetensors)
  echo "${{checkpoints[-1]}}" >> "$stops"
  if [ "$(wc -l < "$stops")" -ge 3 ] && [ "$(tail -n 3 "$stops" | uniq | wc -l)" = 1 ]; then
    echo "error: $arm, seed $seed: two requeues without a new step. A stage or an evaluation takes" \\
      "longer than the time limit. Raise [jobs] time, then run the same command again" >&2
    exit 1
  fi
  scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"
fi
exit "$code"
"""
# torchrun reads its options from these variables
RENDEZVOUS = """\
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export PET_NNODES={nodes} PET_RDZV_BACKEND=c10d PET_RDZV_ID=$SLURM_JOB_ID
export PET_RDZV_ENDPOINT=$head:$((20000 + SLURM_JOB_ID % 20000))
"""
FRESH = '[ "${SLURM_RESTART_COUNT:-0}" = 0 ] && fresh=(--fresh)\n'
COMPARE = """\
#!/bin/bash
{setup}
export COLUMNS=160
{command} > {part} && mv {part} {table}
"""


@dataclass(frozen=True, slots=True)
class Submission:
    """The submitted job arrays, the number of their runs, and the job that writes the table.

    `num_queued` counts runs that were already in the queue or running. Trials have no table.
    """

    jobs: tuple[str, ...]
    num_runs: int
    num_finished: int
    num_queued: int
    table_job: str
    table: Path

    def __str__(self) -> str:
        others = f"{self.num_finished} finished, {self.num_queued} already in the queue or running"
        if not self.jobs:
            return f"Nothing to submit: {others}."
        runs = f"{self.num_runs} run{'s' * (self.num_runs > 1)} ({others})"
        jobs = f"job{'s' * (len(self.jobs) > 1)} {', '.join(self.jobs)}"
        table = f"\nAfter all runs, job {self.table_job} writes {self.table}." if self.table_job else ""
        return f"Submitted {runs}: {jobs}.{table}"


def submit(
    recipe: Recipe,
    cells: Sequence[Cell],
    *,
    out: Path,
    device: str = "auto",
    fresh: bool = False,
    num_workers: int | None = None,
) -> Submission:
    """Submit the runs that are not finished, queued or running.

    Args:
        recipe: The recipe.
        cells: Its runs, at least one.
        out: Parent of the folder of the recipe's runs.
        device: Device of each run.
        fresh: Submit all runs, and repeat them from the start.
        num_workers: Threads of each process that decode images.

    Raises:
        RecipeError, DataError: As in `run_recipe`.
        UsageError: As in `run_recipe`, and if Slurm is missing or rejects a job. Rerun the command to submit
            the rest.
    """
    root = out / recipe.name
    _check_partition(recipe)
    most = max_tasks(ask(["scontrol", "show", "config"]))
    check_writable(root)
    with file_lock(root / FOLDER / "lock", timeout=0) as is_mine:
        if not is_mine:
            raise UsageError(f"{root}: another process is submitting runs. Wait until it ends")
        waiting = queue(root)
        queued = {run: sent for run, sent in find_submitted(root).items() if sent[0] in waiting}
        if fresh and queued.keys() & {(cell.arm.name, cell.seed) for cell in cells}:
            raise UsageError(f"{root}: its runs are in the queue. Cancel them with scancel before --fresh")
        prepare(recipe, cells, fresh)
        _check_queued(cells, root, queued)
        states = [cell.verify_state().state for cell in cells]
        missing = [
            cell
            for cell, state in zip(cells, states, strict=True)
            if state not in ("finished", "running") and (cell.arm.name, cell.seed) not in queued
        ]
        frozen = freeze(recipe, cells, root) if missing else Path()
        words = task_words(frozen, device, num_workers, recipe.jobs.num_processes)
        command = _command(recipe, words)
        jobs = [
            _submit_runs(recipe, root, missing[begin : begin + most], command, fresh)
            for begin in range(0, len(missing), most)
        ]
        earlier = {task.partition("_")[0] for task, _ in queued.values()}
        table = _submit_table(recipe, root, [*jobs, *sorted(earlier)]) if jobs and not recipe.is_trial else ""
    num_finished = states.count("finished")
    num_queued = len(cells) - len(missing) - num_finished
    return Submission(tuple(jobs), len(missing), num_finished, num_queued, table, root / TABLE)


def _check_partition(recipe: Recipe) -> None:
    found = ask(["scontrol", "show", "partition", "--oneliner"])
    there = re.findall(r"^PartitionName=(\S+)", found, re.MULTILINE)
    wanted = recipe.jobs.partition
    if wanted not in there:
        problem = "required" if wanted is None else f"the cluster has no '{wanted}'"
        raise UsageError(
            f"{recipe.source}: [jobs] partition: {problem}. Choose one of {', '.join(there)}, "
            "in the recipe or with --set jobs.partition=NAME"
        )


def _check_queued(
    cells: Sequence[Cell], root: Path, queued: Mapping[tuple[str, int], tuple[Task, str | None]]
) -> None:
    """Raise UsageError if a queued run has other settings."""
    for cell in cells:
        _, sent = queued.get((cell.arm.name, cell.seed), ("", None))
        if sent not in (None, cell.recipe.fingerprint(cell.arm)):
            raise UsageError(
                f"{root}: {cell.title} is in the queue with an earlier version of the recipe. "
                "Cancel its job with scancel, or restore the recipe"
            )


def max_tasks(config: str) -> int:
    """Return the maximum number of tasks in a job array, from the output of `scontrol show config`."""
    limits = re.findall(r"^MaxArraySize\s*=\s*(\d+)|\bmax_array_tasks=(\d+)", config, re.MULTILINE)
    most = min((int(size or tasks) for size, tasks in limits), default=0)
    if not most:
        raise UsageError("scontrol show config: MaxArraySize is 0 or missing, so job arrays are disabled")
    return most


def _submit_runs(recipe: Recipe, root: Path, cells: Sequence[Cell], command: str, fresh: bool) -> str:
    """Submit one array, record its runs, and return its job ID."""
    config = recipe.jobs
    folder = root / FOLDER
    is_shared = config.nodes * config.num_processes > 1
    script = RUNS.format(
        source=shlex.quote(recipe.source),
        setup=_setup(recipe),
        runs="\n".join(f'  "{cell.arm.name} {cell.seed}"' for cell in cells),
        folders="\n".join(f"  {shlex.quote(str(cell.folder))}" for cell in cells),
        stops=shlex.quote(str(folder)),
        rendezvous=RENDEZVOUS.format(nodes=config.nodes) if is_shared else "",
        fresh=FRESH if fresh else "",
        wait=WAIT_SECONDS,
        command=command,
        unfinished=EXIT_CODE,
    )
    options = [
        f"--job-name={root.name}",
        f"--array=0-{len(cells) - 1}",
        f"--nodes={config.nodes}",
        *([f"--gpus-per-node={config.gpus}"] if config.gpus else []),
        *([f"--time={config.time}"] if config.time else []),
        f"--output={_log(folder, '%A_%a')}",
        "--open-mode=append",
        "--requeue",
        f"--signal=USR1@{WARN_SECONDS}",
    ]
    job = _sbatch(recipe, options, script)
    runs: list[SubmittedRun] = [
        {"arm": c.arm.name, "seed": c.seed, "fingerprint": c.recipe.fingerprint(c.arm)} for c in cells
    ]
    note_job(root, job, runs)
    write_file(folder / f"{job}.sh", script.encode())
    return job


def _submit_table(recipe: Recipe, root: Path, jobs: Sequence[str]) -> str:
    script = COMPARE.format(
        setup=_setup(recipe),
        command=_command(recipe, ["compare", str(root)]),
        part=shlex.quote(str(root / f".{TABLE}.part")),
        table=shlex.quote(str(root / TABLE)),
    )
    options = [
        f"--job-name={root.name}-table",
        "--nodes=1",
        f"--time={TABLE_MINUTES}",
        f"--dependency=afterany:{':'.join(jobs)}",
        f"--output={_log(root / FOLDER, '%j')}",
    ]
    return _sbatch(recipe, options, script)


def _sbatch(recipe: Recipe, options: Sequence[str], script: str) -> str:
    common = ["sbatch", "--parsable", f"--partition={recipe.jobs.partition}", "--ntasks-per-node=1"]
    answer = ask([*common, *options, *recipe.jobs.options], script)
    return answer.strip().partition(";")[0]  # the name of the cluster follows if there are several


def _log(folder: Path, name: str) -> str:
    return f"{str(folder).replace('%', '%%')}/{name}.log"


def _setup(recipe: Recipe) -> str:
    lines = recipe.jobs.setup
    return "\n".join(["set -e", *lines, "set +e"]) if lines else ""


def _command(recipe: Recipe, words: Sequence[str]) -> str:
    """Return a perceptinit command that runs in this Python or, with `[jobs] wrap`, in the container."""
    program = [PERCEPTINIT] if recipe.jobs.wrap else [sys.executable, "-P", "-m", "perceptinit"]
    return wrap(recipe, [*program, *words])
