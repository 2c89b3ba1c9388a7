"""Compute the owner's numbers in a separate process, so that participants do not wait for them.

python -m perceptinit_collect.aside status STUDY
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from perceptinit.plugin import PerceptInitError, UsageError


def run_aside(what: str, folder: Path) -> str:
    """Return the status as JSON or the export as CSV; UsageError with the last line of a failed process."""
    # -P: a json.py in the working folder is not imported
    command = [sys.executable, "-P", "-m", "perceptinit_collect.aside", what, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    if done.returncode:
        raise UsageError(done.stderr.strip().rpartition("\n")[2] or f"{what} failed without a message")
    return done.stdout


def main(what: str, folder: str) -> None:
    """Print the status or the export; exit with code 1 and the error's message when it fails."""
    from perceptinit_collect.export import export_text
    from perceptinit_collect.status import status

    sys.stdout.reconfigure(encoding="utf-8", newline="")  # type: ignore[union-attr]
    try:
        print(json.dumps(status(Path(folder))) if what == "status" else export_text(Path(folder)), end="")
    except PerceptInitError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(*sys.argv[1:])
