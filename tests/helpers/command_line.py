"""The command line in this process, isolated like a new process."""

import functools
import importlib.metadata
import io
import os
import random
import re
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
import typer

ROOT = Path(__file__).parents[2]
# caches of these modules hold functions of their arguments alone
PURE = ("perceptinit.analysis.", "perceptinit.world.", "perceptinit.configs", "perceptinit.judgments.scoring",
        "perceptinit.backbones.clip_tokenizer", "perceptinit.recipe.cost", "perceptinit.images.encoded")  # fmt: skip
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


@dataclass(frozen=True)
class Done:
    """A completed command with the fields of `subprocess.CompletedProcess`."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        """The output on one line, because tables wrap at the width of the terminal."""
        return " ".join((self.stdout + self.stderr).split())


def environment(**changes: str) -> dict[str, str]:
    """Return the environment of a command: a fixed width, and this checkout for child processes."""
    return {**os.environ, "COLUMNS": "160", "PYTHONPATH": str(ROOT), **changes}


def refuse_unforeseen(stderr: str) -> None:
    """Fail the test for any unexpected error."""
    assert not re.search(r"unexpected \w+:", stderr), stderr


def run_command(arguments: tuple[object, ...], folder: Path, **changes: str) -> Done:
    """Run `perceptinit` in `folder` and undo its changes to this process."""
    from perceptinit.cli import main

    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    with ExitStack() as stack:
        for block in (
            chdir(folder),
            mock.patch.dict(os.environ, environment(**changes)),
            mock.patch.object(sys, "argv", ["perceptinit", *map(str, arguments)]),
            kept_state(),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            stack.enter_context(block)
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
    done = Done(code, *(stream.buffer.getvalue().decode() for stream in (out, err)))
    refuse_unforeseen(done.stderr)
    return done


@contextmanager
def kept_state() -> Iterator[None]:
    """Restore signal handlers, random states, torch settings and warnings, and clear function caches."""
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    states = random.getstate(), np.random.get_state()
    clear_caches()
    with warnings.catch_warnings(), kept_torch():
        show_as_a_process_does()
        yield
    clear_caches()
    random.setstate(states[0])
    np.random.set_state(states[1])
    for number, handler in handlers.items():
        signal.signal(number, handler)


def show_as_a_process_does() -> None:
    """Write warnings to standard error, because pytest would capture them."""
    warnings.resetwarnings()
    for kind in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
        warnings.simplefilter("ignore", kind)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\b")  # images/encoded.py

    def show(message, category, filename, lineno, file=None, line=None):
        sys.stderr.write(warnings.formatwarning(message, category, filename, lineno, line))

    warnings.showwarning = show


@contextmanager
def kept_torch() -> Iterator[None]:
    """Restore the global settings of torch, without importing torch."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = {
        torch.set_num_threads: torch.get_num_threads(),
        torch.set_default_dtype: torch.get_default_dtype(),
        torch.set_float32_matmul_precision: torch.get_float32_matmul_precision(),
        torch.use_deterministic_algorithms: torch.are_deterministic_algorithms_enabled(),
        torch.set_rng_state: torch.get_rng_state(),
    }
    yield
    for setting, value in before.items():
        setting(value)


def keep_pure_results() -> None:
    """Keep the entry points of unchanged folders, and the parameters of commands, which take half of a short command."""
    typer.main.get_params_from_function = functools.cache(typer.main.get_params_from_function)
    read, kept = importlib.metadata.entry_points, {}

    def entry_points(**wanted: str) -> Any:
        folders = [Path(name) for name in sys.path]
        key = (*wanted.items(), *((each, each.stat().st_mtime_ns) for each in folders if each.exists()))
        if key not in kept:
            kept[key] = read(**wanted)
        return kept[key]

    importlib.metadata.entry_points = entry_points


def clear_caches() -> None:
    """Clear the caches of functions of the package that read files or settings, like a new process."""
    modules = tuple(module for name, module in sys.modules.items() if name.startswith("perceptinit."))
    for function in cached_functions(modules):
        function.cache_clear()


@functools.lru_cache(maxsize=1)
def cached_functions(modules: tuple[ModuleType, ...]) -> list[Any]:
    """Return the functions of these modules whose caches depend on files or settings."""
    values = [value for module in modules for value in vars(module).values()]
    cached = [value for value in values if isinstance(value, functools._lru_cache_wrapper)]
    return [function for function in cached if not function.__module__.startswith(PURE)]
