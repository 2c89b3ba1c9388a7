"""A Slurm job array with one task per unfinished run, ready for `sbatch`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from perceptinit.errors import UsageError
from perceptinit.recipe.recipe import Recipe
from perceptinit.running.cells import Cell

TEMPLATE = """\
#!/bin/bash
# {num_runs} runs of {source}, one per task{left_out}.
# Add what your cluster asks for (--time, --partition, --gres=gpu:1, --cpus-per-task) and submit:
#   perceptinit run {source} --job-array > {name}.sh && sbatch {name}.sh
# A task that is requeued continues from its last checkpoint; a finished one is skipped.
#SBATCH --job-name={name}
#SBATCH --array=0-{last}
#SBATCH --output=%x-%A_%a.log
#SBATCH --requeue
set -euo pipefail
cd {folder}
runs=(
{runs}
)
read -r arm seed <<< "${{runs[$SLURM_ARRAY_TASK_ID]}}"
exec {command} --arm "$arm" --seed "$seed"
"""


def job_array_script(
    recipe: Recipe,
    cells: Sequence[Cell],
    out: Path,
    device: str,
    fresh: bool,
    num_workers: int | None = None,
) -> str:
    """Return the script; finished runs are left out unless all are to be done again.

    Raises UsageError when there is nothing left to do.
    """
    wanted = [cell for cell in cells if fresh or not cell.state.is_finished]
    if not wanted:
        raise UsageError(f"{out / recipe.name}: all {len(cells)} runs are finished")
    num_done = len(cells) - len(wanted)
    return TEMPLATE.format(
        num_runs=len(wanted),
        source=shlex.quote(recipe.source),
        left_out=f"; {num_done} finished ones are left out" if num_done else "",
        name=recipe.name,
        last=len(wanted) - 1,
        folder=shlex.quote(str(Path.cwd())),
        runs="\n".join(f'  "{cell.arm.name} {cell.seed}"' for cell in wanted),
        command=_command(recipe, out, device, fresh, num_workers),
    )


def _command(recipe: Recipe, out: Path, device: str, fresh: bool, num_workers: int | None) -> str:
    parts = [sys.executable, "-m", "perceptinit", "run", recipe.source, "--out", str(out)]
    parts += ["--device", device]
    for override in recipe.overrides:
        parts += ["--set", override]
    parts += ["--smoke"] if recipe.is_smoke else []
    parts += ["--fresh"] if fresh else []
    parts += [] if num_workers is None else ["--workers", str(num_workers)]
    return shlex.join(parts)
