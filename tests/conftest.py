"""Shared by all tests: one thread per process, no installed plug-ins, no network."""

import os
import re

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("PERCEPTINIT_PLUGINS", "")

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def cli(tmp_path):
    """Run `perceptinit` in a fresh process and folder; returns the completed process.

    An error that nobody foresaw fails the test, whatever it expects.
    """

    def run(*arguments, **environment):
        # a fixed width: tables fold alike wherever the tests run
        env = {**os.environ, "COLUMNS": "160", "PYTHONPATH": str(ROOT), **environment}
        command = [sys.executable, "-m", "perceptinit", *map(str, arguments)]
        done = subprocess.run(
            command, capture_output=True, text=True, env=env, cwd=tmp_path, check=False, timeout=300
        )
        assert not re.search(r"unforeseen \w+:", done.stderr), done.stderr
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
def bucket(own_cache):
    """Give a web server that keeps files as a bucket does."""
    from object_store import ObjectStore

    with ObjectStore() as made:
        yield made


@pytest.fixture
def recipes_folder():
    return ROOT / "recipes"
