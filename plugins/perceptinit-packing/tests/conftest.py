"""Fixtures that run `perceptinit` in a new process, and access to the helpers of the checkout."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "tests"))  # helpers


@pytest.fixture
def cli(tmp_path):
    """Run `perceptinit` in a new process in `tmp_path`; returns the completed process."""

    def run(*arguments):
        command = [sys.executable, "-m", "perceptinit", *map(str, arguments)]
        env = {**os.environ, "COLUMNS": "160", "PERCEPTINIT_PLUGINS": "packing"}
        return subprocess.run(
            command, capture_output=True, text=True, env=env, cwd=tmp_path, check=False, timeout=300
        )

    return run
