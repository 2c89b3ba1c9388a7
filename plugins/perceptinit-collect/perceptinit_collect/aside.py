"""The owner's numbers, worked out in a process of its own: people who answer wait for nothing.

python -m perceptinit_collect.aside status STUDY
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from perceptinit.plugin import PerceptInitError, UsageError


def aside(what: str, folder: Path) -> str:
    """Return the status as JSON, or the export as CSV; UsageError with the sentence that the process ended with."""
    command = [sys.executable, "-m", "perceptinit_collect.aside", what, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    if done.returncode:
        raise UsageError(done.stderr.strip().rpartition("\n")[2] or f"{what} ended without a word")
    return done.stdout


def main(what: str, folder: str) -> None:
    """Print what was asked for; the error's sentence and exit code 1 when it cannot be had."""
    from perceptinit_collect.export import export_text
    from perceptinit_collect.status import status

    sys.stdout.reconfigure(encoding="utf-8", newline="")  # type: ignore[union-attr]
    try:
        print(
            json.dumps(status(Path(folder))) if what == "status" else export_text(Path(folder)),
            end="",
        )
    except PerceptInitError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(*sys.argv[1:])
