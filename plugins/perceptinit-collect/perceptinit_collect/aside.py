"""Compute the status or the export, or copy the answers, in a separate process.

The server stays responsive.

Usage: python -m perceptinit_collect.aside status STUDY
"""

import json
import subprocess
import sys
from pathlib import Path

from perceptinit.plugin import PerceptInitError, UsageError


def run_aside(what: str, folder: Path) -> str:
    """Return the status (JSON), the export (CSV) or a message; UsageError if the process fails."""
    # -P prevents importing a json.py in the working directory
    command = [sys.executable, "-P", "-m", "perceptinit_collect.aside", what, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    if done.returncode:
        message = done.stderr.strip().rpartition("\n")[2]
        raise UsageError(message or f"computing the {what} failed with exit code {done.returncode}")
    return done.stdout


def main(what: str, folder: str) -> None:
    """Print the result; on failure, print the error message and exit with code 1."""
    from perceptinit_collect.checks import copy_answers
    from perceptinit_collect.export import export_text
    from perceptinit_collect.status import status

    sys.stdout.reconfigure(encoding="utf-8", newline="")  # type: ignore[union-attr]
    make = {"status": lambda path: json.dumps(status(path)), "export": export_text, "copy": copy_answers}
    try:
        print(make[what](Path(folder)), end="")
    except PerceptInitError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(*sys.argv[1:])
