"""How often tables and pages say more than is true: tiny experiments whose truth is known, from recipe to page by commands.

    git worktree add ../old 58d8151
    nice python benchmarks/false_sentences.py run --checkout . --checkout ../old --work /tmp/false-sentences
    python benchmarks/false_sentences.py sum --work /tmp/false-sentences --out benchmarks/results/false_sentences.json
    python benchmarks/calibration.py --out docs/calibration.md

`run` can be stopped, and goes on where it was; --processes N shares the work. Commands run with the package of the checkout (by
PYTHONPATH) and the libraries of the Python that runs this, imported once and forked for every command. What is known, and how:
`known_kinds.py` and `known_world.py`; what counts as more than true: `sentence_rules.py`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import known_world
import sentence_rules
from known_kinds import KINDS, Kind, number, recipe

Command = Callable[[Path, Sequence[str]], str]


def experiment(kind: Kind, index: int, world: Path, command: Command, has_delta: bool) -> dict[str, Any]:
    """Run one experiment from recipe to page, and return its scores (per cent) and sentences.

    command: runs a command line of the package in a folder and returns what it prints.
    """
    folder = world / f"{number(kind)}-{index:04d}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "known.toml").write_text(recipe(kind, index, world, has_delta), encoding="utf-8")
    overrides = [word for override in kind.overrides for word in ("--set", override)]
    command(folder, ["run", "known.toml", "--device", "cpu", *overrides])
    table = json.loads(command(folder, ["compare", "runs/known", "--json"]))
    command(folder, ["report", "runs/known", "--no-examples", "--out", "page.html"])
    page = sentence_rules.page_sentences((folder / "page.html").read_text(encoding="utf-8"))
    shutil.rmtree(folder)
    values = table["values"][kind.score]
    return {
        "kind": kind.name,
        "index": index,
        "values": {arm: [round(100 * v, 4) for v in by_seed.values()] for arm, by_seed in values.items()},
        "sentences": list(dict.fromkeys([*table["summary"], *page])),
    }


def planned(share: float) -> Iterator[tuple[Kind, int]]:
    """Yield all experiments, the kinds mixed, so that whoever stops early has some of each."""
    every = [(i / kind.num, kind, i) for kind in KINDS for i in range(round(share * kind.num))]
    yield from ((kind, i) for _, kind, i in sorted(every, key=lambda e: e[0]))


def run(checkout: Path, work: Path, share: float, part: int, parts: int) -> None:
    """Do this part of the experiments that have no result yet; the package is that of the checkout."""
    home = work / _commit(checkout)
    world = home / f"world-{part}"
    shutil.rmtree(world, ignore_errors=True)
    known_world.write_world(world)
    done = {(r["kind"], r["index"]) for r in results(home)}
    has_delta = (checkout / "perceptinit/recipe/verdict_config.py").is_file()
    experiment(KINDS[-1], 0, world, in_this_process, has_delta)  # imports all that the forks need
    with (home / f"{part}.jsonl").open("a", encoding="utf-8") as file:
        for number, (kind, index) in enumerate(planned(share)):
            if number % parts == part and (kind.name, index) not in done:
                row = experiment(kind, index, world, in_a_fork, has_delta)
                file.write("\n" + json.dumps(row) + "\n")
                file.flush()
    shutil.rmtree(world)


def results(home: Path) -> list[dict[str, Any]]:
    """Return what is there of a commit; a line that a killed process left half is left out."""
    found = []
    for path in sorted(home.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                found.append(json.loads(line))
    return found


def _commit(checkout: Path) -> str:
    git = ["git", "-C", str(checkout), "rev-parse", "--short=7", "HEAD"]
    return subprocess.run(git, check=True, capture_output=True, text=True).stdout.strip()


def in_this_process(folder: Path, arguments: Sequence[str]) -> str:
    """Be `perceptinit ARGUMENTS` and return what it prints; SystemExit with it when the command fails."""
    from perceptinit.cli import main

    printed = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
        sys.argv = ["perceptinit", *arguments]
        try:
            main()
        except SystemExit as end:
            if end.code:
                raise SystemExit(
                    f"{folder}: {sys.argv} ended with {end.code}:\n{printed.getvalue()}"
                ) from end
    return printed.getvalue()


def in_a_fork(folder: Path, arguments: Sequence[str]) -> str:
    """Do the same in a process of its own, which knows only what this one has imported."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            printed = in_this_process(folder, arguments)
            with open(writer, "w", encoding="utf-8") as out:  # noqa: PTH123  (a descriptor)
                out.write(printed)
            status = 0
        except BaseException as error:
            print(repr(error), file=sys.stderr)
        finally:
            os._exit(status)
    os.close(writer)
    printed = b"".join(iter(lambda: os.read(reader, 1 << 16), b""))
    os.close(reader)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        raise SystemExit(f"{folder}: perceptinit {' '.join(arguments)} failed")
    return printed.decode()


def start(checkouts: Sequence[Path], work: Path, share: float, processes: int) -> None:
    """Run the experiments with each checkout's package, in processes of their own."""
    for checkout in checkouts:
        (work / _commit(checkout)).mkdir(parents=True, exist_ok=True)
        own = {"PYTHONPATH": str(checkout.resolve()), "OMP_NUM_THREADS": "1", "COLUMNS": "500"}
        words = ["--checkout", str(checkout), "--work", str(work), "--share", str(share)]
        started = [
            subprocess.Popen(
                [sys.executable, __file__, "run", *words, "--part", f"{part}/{processes}"],
                env=os.environ | own,
            )
            for part in range(processes)
        ]
        statuses = [process.wait() for process in started]
        if any(statuses):
            raise SystemExit(f"{checkout}: not finished; the same command goes on")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    runs = verbs.add_parser("run", help="do the experiments that are not done")
    runs.add_argument("--checkout", type=Path, action="append", required=True)
    runs.add_argument("--work", type=Path, required=True, help="where results are kept")
    runs.add_argument("--share", type=float, default=1.0, help="of the experiments of each kind")
    runs.add_argument("--processes", type=int, default=1)
    runs.add_argument("--part", help=argparse.SUPPRESS)
    sums = verbs.add_parser("sum", help="count what was found")
    sums.add_argument("--work", type=Path, required=True)
    sums.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    if options.verb == "sum":
        from false_sentences_sum import summarise

        found = {home.name: results(home) for home in sorted(options.work.iterdir())}
        options.out.parent.mkdir(exist_ok=True)
        options.out.write_text(json.dumps(summarise(found), indent=1) + "\n", encoding="utf-8")
    elif options.part:
        part, parts = map(int, options.part.split("/"))
        run(options.checkout[0], options.work, options.share, part, parts)
    else:
        start(options.checkout, options.work, options.share, options.processes)


if __name__ == "__main__":
    main()
