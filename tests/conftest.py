"""Settings and fixtures of all tests: one thread per process, no installed plug-ins, no network."""

import gc
import os
import signal

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("PERCEPTINIT_PLUGINS", "")

import subprocess
import sys

import pytest
from helpers.command_line import ROOT, environment, keep_pure_results, refuse_unforeseen, run_command


def begin_forked_process():
    """Do not collect the garbage of the parent process, and end if this process hangs.

    A process group in that garbage would join threads that exist only in the parent, which aborts the process. A
    process that hangs would keep the pipe of its pytest-xdist worker open, so the whole run would never end. A
    program that it executes inherits the time limit.
    """
    gc.freeze()
    signal.alarm(300)


os.register_at_fork(after_in_child=begin_forked_process)
keep_pure_results()
os.fsync = os.fstat  # no test cuts the power, and a disk takes most of the time of small files
gc.disable()  # imports and collection create a million permanent objects: see `pytest_collection_finish`


def pytest_collection_finish():
    """Exclude imported modules and collected tests from garbage collection, which would copy their memory pages.

    Forked processes then continue to share this memory. Fewer collections take 10 % of the CPU time less.
    """
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


@pytest.fixture
def cli(tmp_path):
    """Return a function that runs `perceptinit` in this process, in the folder of the test.

    It returns exit code, stdout and stderr. An unexpected error fails the test.
    """
    return lambda *arguments, **changes: run_command(arguments, tmp_path, **changes)


@pytest.fixture
def verb(cli):
    """Return a function that runs `perceptinit` on a wide terminal and returns the output on one line."""

    def run(*arguments, code=0):
        done = cli(*arguments, COLUMNS="200")
        assert done.returncode == code, done.stderr
        return done.text

    return run


@pytest.fixture(scope="module")
def verbs():
    """Return a function that runs a command in this process without catching exceptions."""
    from perceptinit.cli import create_app
    from perceptinit.components.plugin_manager import build_plugin_manager

    plugins = build_plugin_manager()
    app = create_app(plugins)
    return lambda *words: app(list(map(str, words)), obj=plugins, standalone_mode=False)


@pytest.fixture
def cli_process(tmp_path):
    """Return a function that runs `perceptinit` in a new process, for tests of locks, signals, streams and imports."""

    def run(*arguments, **changes):
        command = [sys.executable, "-m", "perceptinit", *map(str, arguments)]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            env=environment(**changes),
            cwd=tmp_path,
            check=False,
            timeout=300,
        )
        refuse_unforeseen(done.stderr)
        return done

    return run


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """Use a separate cache of remote files in the folder of the test, and retry without delay."""
    from perceptinit.files.remote import copies, store
    from perceptinit.test_sets.remote import fetch_remote

    monkeypatch.setenv("PERCEPTINIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(store, "BACKOFF_SECONDS", 0.01)
    copies.local_copy.cache_clear()
    fetch_remote.cache_clear()


@pytest.fixture
def cache_folder(tmp_path, monkeypatch):
    """Use a separate cache in the folder of the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def bucket(own_cache):
    """A local web server that stores files like a bucket."""
    from helpers.object_store import ObjectStore

    with ObjectStore() as made:
        yield made


@pytest.fixture
def untraced(monkeypatch):
    """Assume the memory of activations, because tracing a large tower takes seconds."""
    from perceptinit.running import memory

    monkeypatch.setattr(memory.Tracer, "_trace", lambda self, *_: memory.Traced(per_row=1e8, fixed=0))


@pytest.fixture
def recipes_folder():
    return ROOT / "recipes"
