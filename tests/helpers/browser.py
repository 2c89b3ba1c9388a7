"""A headless browser for tests of pages: console messages, requests and screenshots."""

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
    """Return the path of Chromium; skip the test if it is not installed."""
    path = next((p for p in map(shutil.which, NAMES) if p), None)
    if path is None:
        pytest.skip("no chromium here; on Debian: apt-get install chromium")
    return path


@dataclass(frozen=True)
class Visit:
    """console: console messages of the page. requests: requested HTTP addresses. dom: the DOM as text."""

    console: list
    requests: list
    dom: str


def visit(chromium, page, folder, *flags):
    """Open a file with a new profile and return the result; flags: more flags, such as --screenshot."""
    log = folder / "net.json"
    flags = flags or ("--dump-dom",)
    command = [chromium, *FLAGS, f"--user-data-dir={folder / 'profile'}", f"--log-net-log={log}"]
    done = subprocess.run(
        [*command, *flags, page.as_uri()], capture_output=True, text=True, check=True, timeout=240
    )
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    events = json.loads(log.read_text())["events"]
    params = [event.get("params", {}) for event in events]
    # requests of the browser itself, such as updates, have no page as initiator
    asked = {str(p.get("url")) for p in params if p.get("initiator", BROWSER) != BROWSER}
    return Visit(console, sorted(a for a in asked if re.match("(https?|wss?)://", a)), done.stdout)
