"""A real browser for tests of pages: what a page logs, which addresses it asks for, what it looks like."""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--enable-logging=stderr", "--host-resolver-rules=MAP * ~NOTFOUND",
)  # fmt: skip
BROWSER = "not an origin"


@pytest.fixture(scope="session")
def chromium():
    """Give the path of Chromium; skips where there is none."""
    path = next((p for p in map(shutil.which, NAMES) if p), None)
    if path is None:
        pytest.skip("no chromium here; on Debian: apt-get install chromium")
    return path


@dataclass(frozen=True)
class Visit:
    """console: messages of the page's console. requests: http addresses it asked for. dom: as text."""

    console: list
    requests: list
    dom: str


def visit(chromium, page, folder, *flags):
    """Open a file with a fresh profile and say what happened; more flags, such as --screenshot."""
    log = folder / "net.json"
    flags = flags or ("--dump-dom",)
    command = [chromium, *FLAGS, f"--user-data-dir={folder / 'profile'}", f"--log-net-log={log}"]
    done = subprocess.run(
        [*command, *flags, page.as_uri()], capture_output=True, text=True, check=True, timeout=240
    )
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    events = json.loads(log.read_text())["events"]
    params = [event.get("params", {}) for event in events]
    # what the browser asks for itself, such as updates of its own, has no page as its initiator
    asked = {str(p.get("url")) for p in params if p.get("initiator", BROWSER) != BROWSER}
    return Visit(console, sorted(a for a in asked if re.match("(https?|wss?)://", a)), done.stdout)
