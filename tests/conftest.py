"""Shared by all tests: one thread per process, no installed plug-ins, no network."""

import gc
import os
import signal

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("PERCEPTINIT_PLUGINS", "")

import subprocess
import sys

import pytest
from helpers.command_line import ROOT, environment, refuse_unforeseen, run_command


def begin_forked_process():
    """Leave the parent's garbage alone, and end if this process hangs.

    A process group in that garbage would join threads that exist in the parent only, which aborts the process. A
    process that hangs would keep the pipe of its pytest-xdist worker open, so that the whole run would never end.
    A program that it executes inherits the time limit.
    """
    gc.freeze()
    signal.alarm(300)


os.register_at_fork(after_in_child=begin_forked_process)
gc.disable()  # imports and collection make a million objects that stay: see `pytest_collection_finish`


def pytest_collection_finish():
    """Exclude imported modules and collected tests from garbage collection, which would visit and unshare them.

    Processes that a test forks then keep sharing this memory.
    """
    gc.freeze()
    gc.enable()


@pytest.fixture
def cli(tmp_path):
    """Run `perceptinit` in this process, in the test's folder; returns exit code, stdout and stderr.

    An error that nothing foresaw fails the test, whatever it expects.
    """
    return lambda *arguments, **changes: run_command(arguments, tmp_path, **changes)


@pytest.fixture(scope="module")
def verbs():
    """Run the command line's functions in this process, with nothing caught: errors arrive as exceptions."""
    from perceptinit.cli import create_app
    from perceptinit.components.plugin_manager import build_plugin_manager

    plugins = build_plugin_manager()
    app = create_app(plugins)
    return lambda *words: app(list(map(str, words)), obj=plugins, standalone_mode=False)


@pytest.fixture
def cli_process(tmp_path):
    """Run `perceptinit` in a new process, for tests of processes: locks, signals, streams, imports, packages."""

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
    """Keep what is fetched in the test's folder, know nothing of other tests' files, and ask again at once."""
    from perceptinit.files.remote import copies, store
    from perceptinit.test_sets.remote import fetch_remote

    monkeypatch.setenv("PERCEPTINIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(store, "BACKOFF_SECONDS", 0.01)
    copies.local_copy.cache_clear()
    fetch_remote.cache_clear()


@pytest.fixture
def cache_folder(tmp_path, monkeypatch):
    """Keep what is cached in the test's folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def bucket(own_cache):
    """Give a web server that keeps files as a bucket does."""
    from helpers.object_store import ObjectStore

    with ObjectStore() as made:
        yield made


@pytest.fixture
def recipes_folder():
    return ROOT / "recipes"
