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
def recipes_folder():
    return ROOT / "recipes"
