"""A fixture that runs `perceptinit` in a new process."""

import os
import subprocess
import sys

import pytest


@pytest.fixture
def cli(tmp_path):
    """Run `perceptinit` in a new process in `tmp_path`; returns the completed process."""

    def run(*arguments):
        command = [sys.executable, "-m", "perceptinit", *map(str, arguments)]
        env = {**os.environ, "COLUMNS": "160", "PERCEPTINIT_PLUGINS": "estimate"}
        return subprocess.run(
            command, capture_output=True, text=True, env=env, cwd=tmp_path, check=False, timeout=300
        )

    return run
