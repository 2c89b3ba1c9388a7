"""Fixtures that run `perceptinit` in a new process or in this process, and a Chromium browser."""

import os
import re
import shutil
import subprocess
import sys

import pytest
import typer
from perceptinit_collect import perceptinit_commands
from typer.testing import CliRunner

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture
def cli(tmp_path):
    """Run `perceptinit` in a new process in `tmp_path`; returns the completed process."""

    def run(*arguments, **changes):
        command = [sys.executable, "-m", "perceptinit", *map(str, arguments)]
        env = {**os.environ, "COLUMNS": "160", "PERCEPTINIT_PLUGINS": "collect", **changes}
        done = subprocess.run(
            command, capture_output=True, text=True, env=env, cwd=tmp_path, check=False, timeout=300
        )
        assert not re.search(r"unexpected \w+:", done.stderr), done.stderr
        return done

    return run


@pytest.fixture
def collect(tmp_path, monkeypatch):
    """Run `perceptinit collect` in this process in `tmp_path`; returns typer's result."""
    monkeypatch.chdir(tmp_path)
    app = typer.Typer()
    app.callback()(lambda: None)  # with a single command, typer would not accept the command name
    perceptinit_commands(app)
    return lambda *arguments: CliRunner().invoke(app, ["collect", *map(str, arguments)])


@pytest.fixture(scope="session")
def chromium():
    """Return the path of Chromium; skip the test if it is not installed."""
    path = next((p for p in map(shutil.which, NAMES) if p), None)
    if path is None:
        pytest.skip("no chromium here; on Debian: apt-get install chromium")
    return path


@pytest.fixture(scope="session")
def browser(chromium):
    """Start Chromium with playwright; skip the test if it is not installed."""
    driver = pytest.importorskip("playwright.sync_api", reason="extra 'test' is not installed")
    with driver.sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
