"""Fixtures that run `perceptinit` in a new process."""

import os
import subprocess
import sys

import pytest


@pytest.fixture(scope="session")
def run_cli():
    """Run `perceptinit` in a new process in a folder; returns the completed process."""

    def run(folder, *arguments):
        command = [sys.executable, "-m", "perceptinit", *map(str, arguments)]
        env = {**os.environ, "COLUMNS": "160", "PERCEPTINIT_PLUGINS": "representations"}
        return subprocess.run(
            command, capture_output=True, text=True, env=env, cwd=folder, check=False, timeout=300
        )

    return run


@pytest.fixture
def cli(run_cli, tmp_path):
    """Run `perceptinit` in a new process in `tmp_path`."""
    return lambda *arguments: run_cli(tmp_path, *arguments)
