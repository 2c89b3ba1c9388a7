"""CPU seconds to start the command line, compared with a bare `import typer`, in alternation.

python benchmarks/startup.py
"""

from __future__ import annotations

import sys
from functools import partial

import bench

BASE = "import typer"
COMMANDS = {
    BASE: ["-c", "import typer"],
    "perceptinit --help": ["-m", "perceptinit", "--help"],
    "perceptinit list": ["-m", "perceptinit", "list"],
    "perceptinit list plugins": ["-m", "perceptinit", "list", "plugins"],
    "import open_clip": ["-c", "import open_clip"],
}


def cpu_seconds(arguments: list[str]) -> float:
    """Return user plus system seconds of a new interpreter."""
    return bench.run_command([sys.executable, *arguments]).cpu


def main() -> None:
    options = bench.parse(__doc__, rounds=11, tiny={"rounds": 1})
    print(f"{bench.about('typer')}; medians of {options.rounds}", flush=True)
    sides = {name: partial(cpu_seconds, arguments) for name, arguments in COMMANDS.items()}
    # the first round warms the file cache
    seconds = bench.alternate(sides, options.rounds, warm_up=0 if options.tiny else 1)
    for name, values in seconds.items():
        print(f"{name:22s} {bench.spread(values, 'CPU s', 3)}, {bench.ratio(values, seconds[BASE])}")


if __name__ == "__main__":
    main()
