"""CPU seconds to start the command line, compared with a bare `import typer`, in alternation.

python benchmarks/startup.py [--runs 11]
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
from importlib.metadata import version

COMMANDS = {
    "import typer": ["-c", "import typer"],
    "perceptinit --help": ["-m", "perceptinit", "--help"],
    "perceptinit list": ["-m", "perceptinit", "list"],
    "perceptinit plugins": ["-m", "perceptinit", "plugins"],
    "import open_clip": ["-c", "import open_clip"],
}


def cpu_seconds(arguments: list[str]) -> float:
    """Return user plus system seconds of a fresh interpreter."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=11)
    runs = parser.parse_args().runs
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for index in range(runs + 1):  # the first round warms the file cache and is not counted
        for name, arguments in COMMANDS.items():
            spent = cpu_seconds(arguments)
            if index:
                seconds[name].append(spent)
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"typer {version('typer')}, medians of {runs}"
    )
    base = statistics.median(seconds["import typer"])
    for name, values in seconds.items():
        median = statistics.median(values)
        print(
            f"{name:22s} {median:.3f} s CPU  {median / base:5.2f} x  ({min(values):.3f} to {max(values):.3f})"
        )


if __name__ == "__main__":
    main()
