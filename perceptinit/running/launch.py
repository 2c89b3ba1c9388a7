"""Runs that start in other processes: frozen recipes, shell lines for other schedulers, and torchrun.

A frozen recipe is a JSON file for worker processes and for jobs that start later. `perceptinit run --nproc N`
executes the command in N processes on each machine.
"""

import hashlib
import json
import os
import shlex
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from perceptinit.errors import DataError, UsageError
from perceptinit.files.atomic import write_file
from perceptinit.recipe.reading import read_recipe
from perceptinit.recipe.recipe import Recipe
from perceptinit.results.states import FOLDER
from perceptinit.running.cells import Cell, prepare_folders
from perceptinit.running.interruption import CONTINUES, EXIT_CODE

STATED = ("text", "source", "overrides", "sources", "is_smoke")  # attributes that define a recipe
SUFFIX = ".json"


def describe_cells(cells: Sequence[Cell]) -> dict[str, Any]:
    """Return runs and their recipes as JSON values, for `restore_cells`. `recipe` has no shared runs."""
    own = next((cell.recipe for cell in cells if not cell.is_shared), cells[0].recipe)
    recipes = list({id(cell.recipe): cell.recipe for cell in cells}.values())
    numbers = {id(recipe): i for i, recipe in enumerate(recipes)}
    return {
        "recipe": _describe(own),
        "recipes": list(map(_describe, recipes)),
        "runs": [[numbers[id(cell.recipe)], cell.arm.name, cell.seed, str(cell.folder)] for cell in cells],
    }


def restore_cells(described: Mapping[str, Any]) -> list[Cell]:
    """Return the runs from the output of `describe_cells`; shared runs have the settings of `plan_cells`."""
    own = _restore(described["recipe"])
    settings: Any = {"checkpoint": own.checkpoint, "tracks": own.tracks}
    recipes = [replace(_restore(stated), **settings) for stated in described["recipes"]]
    return [
        Cell(
            recipes[number],
            recipes[number].arm(arm),
            seed,
            Path(folder),
            is_shared=recipes[number].name != own.name,
        )
        for number, arm, seed, folder in described["runs"]
    ]


def freeze(recipe: Recipe, cells: Sequence[Cell], root: Path) -> Path:
    """Write the recipe and its runs to a file named by the hash of its content, and return the path."""
    fingerprints = [cell.recipe.fingerprint(cell.arm) for cell in cells]
    content = {**describe_cells(cells), "recipe": _describe(recipe), "fingerprints": fingerprints}
    data = json.dumps(content, indent=1).encode()
    path = root / FOLDER / f"recipe-{_hash(data)}{SUFFIX}"
    write_file(path, data)
    return path


def thaw(path: Path) -> tuple[Recipe, list[Cell]]:
    """Return a frozen recipe and its runs.

    Raises:
        DataError: If the file was edited.
        UsageError: If the file is missing, or an environment variable or a plug-in changes the settings.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    if path.stem != f"recipe-{_hash(data)}":
        raise DataError(f"{path}: not a frozen recipe, or edited since. Use the recipe's TOML file")
    content = json.loads(data)
    recipe = _restore(content["recipe"])
    cells = restore_cells(content)
    for cell, fingerprint in zip(cells, content["fingerprints"], strict=True):
        if cell.recipe.fingerprint(cell.arm) != fingerprint:
            raise UsageError(
                f"{path}: the settings of {cell.title} differ from the frozen settings. "
                "Use the same environment variables, plug-ins and version of perceptinit"
            )
    return recipe, cells


def _describe(recipe: Recipe) -> dict[str, Any]:
    return {name: getattr(recipe, name) for name in STATED} | {"folder": str(recipe.folder)}


def _restore(stated: Mapping[str, Any]) -> Recipe:
    known = {key: value for key, value in stated.items() if key not in ("is_smoke", "folder")}
    recipe = read_recipe(**known, folder=Path(stated["folder"]))
    return recipe.smoke() if stated["is_smoke"] else recipe


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


PERCEPTINIT = "perceptinit"  # on the PATH of a container or of another machine
# torchrun's variable for the rendezvous of several machines
ENDPOINT = "PET_RDZV_ENDPOINT"


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
    """Return a command as a shell line, prefixed by `[launch] wrap`."""
    return f"{recipe.launch.wrap} {shlex.join(words)}".strip()


def is_launcher(num_processes: int) -> bool:
    """Return whether this process must launch the processes that share a run, on one machine or several."""
    return "RANK" not in os.environ and (num_processes > 1 or ENDPOINT in os.environ)


def import_path() -> str:
    """Return `PYTHONPATH` for a child process: the folder of this package, then the user's folders."""
    return os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")]))


def run_in_processes(num_processes: int, arguments: Sequence[str]) -> None:
    """Run `perceptinit ARGUMENTS` in processes that share each run. If one dies, the others end.

    The processes ignore `--nproc`, because `is_launcher` returns False in them.

    Raises:
        SystemExit: With the exit code of the processes if it is not 0. The processes print the reason.
        KeyboardInterrupt: After Ctrl-C.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    from perceptinit.compute.distributed import LAUNCHER

    # torchrun forwards SIGTERM to the processes, but dies from SIGUSR1
    signal.signal(signal.SIGUSR1, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    # processes must not import modules from the working folder
    os.environ |= {LAUNCHER: str(os.getpid()), "PYTHONSAFEPATH": "1", "PYTHONPATH": import_path()}
    meeting = [] if ENDPOINT in os.environ else ["--standalone"]
    # options after -- are those of perceptinit
    options = [*meeting, f"--nproc-per-node={num_processes}", "--module", "--", "perceptinit"]
    try:
        run(parse_args([*options, *arguments]))
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode >= 0:
            raise SystemExit(failure.exitcode) from None
        name = signal.Signals(-failure.exitcode).name
        message = f"process {rank} was killed by {name}, so the others were stopped; {CONTINUES}"
        print(f"error: {message}", file=sys.stderr)
        raise SystemExit(1) from None
    except SignalException as stop:
        if stop.sigval == signal.SIGINT:
            raise KeyboardInterrupt from None
        raise SystemExit(EXIT_CODE) from None
