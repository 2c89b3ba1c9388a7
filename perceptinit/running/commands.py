"""Shell commands that start the runs of a recipe elsewhere: in jobs of Slurm or of another scheduler."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from perceptinit.recipe.recipe import Recipe
from perceptinit.running.cells import Cell, prepare_folders
from perceptinit.running.frozen import freeze

PERCEPTINIT = "perceptinit"  # on the PATH of a container or of another machine


def list_commands(
    recipe: Recipe,
    cells: Sequence[Cell],
    *,
    out: Path,
    device: str = "auto",
    num_workers: int | None = None,
    num_processes: int = 1,
) -> list[str]:
    """Freeze the recipe, and return a shell command for each run that is neither finished nor running.

    A run checks its data when it starts, so this machine does not need the data.

    Args:
        recipe: The recipe.
        cells: Its runs, at least one.
        out: Parent of the folder of the recipe's runs. Relative paths stay relative in the commands.
        device: Device of each run.
        num_workers: Threads of each process that decode images.
        num_processes: Processes of each run on one machine.

    Raises:
        UsageError: If a folder contains a run with other settings, or is not writable.
    """
    prepare_folders(cells, fresh=False)
    missing = [cell for cell in cells if cell.verify_state().state not in ("finished", "running")]
    if not missing:
        return []
    words = task_words(freeze(recipe, cells, out / recipe.name), device, num_workers, num_processes)
    return [
        wrap(recipe, [PERCEPTINIT, *words, "--arm", cell.arm.name, "--seed", str(cell.seed)])
        for cell in missing
    ]


def task_words(
    frozen: Path, device: str, num_workers: int | None = None, num_processes: int = 1
) -> list[str]:
    """Return the arguments of a command for runs of a frozen recipe."""
    words = ["run", str(frozen), "--device", device]
    words += [] if num_workers is None else ["--workers", str(num_workers)]
    return [*words, *(["--nproc", str(num_processes)] if num_processes > 1 else [])]


def wrap(recipe: Recipe, words: Sequence[str]) -> str:
    """Return a command as a shell line, prefixed by `[jobs] wrap`."""
    return f"{recipe.jobs.wrap} {shlex.join(words)}".strip()
