"""Mutants: small defects planted one at a time, to check that the tests notice them.

    python tests/mutants.py draw                       write tests/mutants.tsv: 60 mutants of each of six rooms, by a seed
    python tests/mutants.py reach FILE [PYTEST-ARGS]   run the tests once, and write which tests reach which lines
    python tests/mutants.py run FILE [--first 10] [--seconds 300]
                                                       plant the mutants; each runs the tests that reach its line

`reach` and `run` use the checkout of the current folder. `reach` requires `pip install coverage`. `run` changes the
sources and restores them, so use a copy of the checkout. A mutant is killed by the first failed test. Tests run in
the order of their time, and a mutant that outlives `--seconds` counts as a survivor.

Lines that only a child process executes are not seen by `reach`. A mutant in a line without tests, such as a line of
a class body, runs the tests that reach any line of its file.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import re
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

LIST = Path(__file__).with_suffix(".tsv")
ROOMS = ("verdict", "analysis", "judgments", "running", "pairs", "files")
SEED = 59
NUM_OF_A_ROOM = 60
SWAPPED = {
    "<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "in": "not in", "not in": "in",
    "is": "is not", "is not": "is", "+": "-", "-": "+", "*": "/", "/": "*", "//": "*", "%": "*", "and": "or",
    "or": "and",
}  # fmt: skip
BETWEEN = re.compile(r"^([\s()]*)(not in|is not|in|is|and|or|[<>=!]=|//|[-<>+*/%])([\s()]*)$")


def mutants_of(path: Path) -> Iterator[tuple[str, int, str, str]]:
    """Yield the mutants of a file: kind, line, and the text of the line before and after."""
    lines = path.read_bytes().splitlines()
    tree = ast.parse(path.read_bytes())
    skipped = set()
    for node in ast.walk(tree):
        parts = [
            *getattr(node, "decorator_list", ()),
            getattr(node, "annotation", None),
            getattr(node, "returns", None),
        ]
        skipped.update(id(inner) for part in parts if part for inner in ast.walk(part))
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        for kind, line, start, end, new in changes(node, lines):
            before = lines[line - 1].decode().strip()
            after = (lines[line - 1][:start] + new.encode() + lines[line - 1][end:]).decode().strip()
            if before != after and compiles(lines, line, after):
                yield kind, line, before, after


def compiles(lines: list[bytes], line: int, after: str) -> bool:
    """Return whether a file compiles with another text of a line."""
    old = lines[line - 1]
    new = old[: len(old) - len(old.lstrip())] + after.encode()
    try:
        compile(b"\n".join([*lines[: line - 1], new, *lines[line:]]), "mutant", "exec")
    except SyntaxError:
        return False
    return True


def changes(node: ast.AST, lines: list[bytes]) -> Iterator[tuple[str, int, int, int, str]]:
    """Yield the changes of a node on one line: kind, line, first and last column, new text."""
    pairs = []
    if isinstance(node, ast.Compare):
        pairs = [
            ("comparison", *ends)
            for ends in zip([node.left, *node.comparators], node.comparators, strict=False)
        ]
    elif isinstance(node, ast.BinOp):
        pairs = [("arithmetic", node.left, node.right)]
    elif isinstance(node, ast.BoolOp):
        pairs = [("boolean", *ends) for ends in zip(node.values, node.values[1:], strict=False)]
    for kind, left, right in pairs:
        if left.end_lineno != right.lineno:
            continue
        found = BETWEEN.match(lines[right.lineno - 1][left.end_col_offset : right.col_offset].decode())
        if found:
            new = found[1] + SWAPPED[found[2]] + found[3]
            yield kind, right.lineno, left.end_col_offset, right.col_offset, new
    if getattr(node, "lineno", 0) != getattr(node, "end_lineno", None):
        return
    place = node.lineno, node.col_offset, node.end_col_offset
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield "boolean", node.lineno, node.col_offset, node.operand.col_offset, ""
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield "constant", *place, str(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield "constant", *place, repr(node.value + 1)
    elif isinstance(node, ast.Return) and not (node.value is None or is_none(node.value)):
        yield "return", *place, "return None"
    elif can_be_dropped(node):
        yield "statement", *place, "pass"


def can_be_dropped(node: ast.AST) -> bool:
    """Return whether a statement can be dropped without an undefined name."""
    if isinstance(node, ast.Assign):
        return isinstance(node.targets[0], ast.Attribute | ast.Subscript)
    is_call = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    return is_call or isinstance(node, ast.AugAssign | ast.Raise | ast.Continue | ast.Break)


def is_none(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is None


def draw() -> None:
    """Write the list: of each room, at most a third changed returns."""
    rows = []
    for room in ROOMS:
        names = sorted(str(path) for path in Path("perceptinit", room).rglob("*.py"))
        every = [(kind, name, *rest) for name in names for kind, *rest in mutants_of(Path(name))]
        random.Random(f"{SEED} {room}").shuffle(every)
        chosen: list = []
        for row in every:
            returns = sum(kept[0] == "return" for kept in chosen)
            if len(chosen) < NUM_OF_A_ROOM and (row[0] != "return" or returns < NUM_OF_A_ROOM // 3):
                chosen.append(row)
        rows += chosen
    LIST.write_text("".join("\t".join(map(str, row)) + "\n" for row in rows), "utf-8")


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of its children that ended."""
    return sum(os.times()[:4])


class Reach:
    """A pytest plug-in that records the tests that reach each line, and the seconds of each test."""

    def __init__(self) -> None:
        import coverage

        self.coverage = coverage.Coverage(source=[f"perceptinit/{room}" for room in ROOMS], data_file=None)
        self.seconds: dict[str, float] = {}
        self.test = ""
        self.coverage.start()

    def pytest_runtest_logstart(self, nodeid, location):
        self.test, self.begun = nodeid, cpu_seconds()
        self.coverage.switch_context(nodeid)

    def pytest_runtest_logfinish(self, nodeid, location):
        self.seconds[nodeid] = cpu_seconds() - self.begun

    def pytest_fixture_setup(self, fixturedef, request):
        """Attribute what a shared fixture reaches to every test of the file."""
        shared = fixturedef.scope != "function"
        self.coverage.switch_context(file_of(self.test) if shared else self.test)

    def pytest_fixture_post_finalizer(self, fixturedef, request):
        self.coverage.switch_context(self.test)

    def pytest_pyfunc_call(self, pyfuncitem):
        self.coverage.switch_context(self.test)

    def write(self, path: str) -> None:
        self.coverage.stop()
        data = self.coverage.get_data()
        lines: dict[str, dict[int, list[str]]] = {}
        for file in data.measured_files():
            of_file = data.contexts_by_lineno(file)
            lines[os.path.relpath(file)] = {line: [t for t in tests if t] for line, tests in of_file.items()}
        Path(path).write_text(json.dumps({"lines": lines, "seconds": self.seconds}), "utf-8")


def file_of(test: str) -> str:
    return test.partition("::")[0]


class Chosen:
    """A pytest plug-in that runs the given tests, quickest first, and keeps the name of the first that fails."""

    def __init__(self, order: dict[str, int]) -> None:
        self.order = order
        self.failed = ""

    def pytest_collection_modifyitems(self, config, items):
        places = {item: self.order.get(item.nodeid, self.order.get(file_of(item.nodeid))) for item in items}
        items[:] = sorted((i for i in items if places[i] is not None), key=lambda item: places[item])

    def pytest_runtest_logreport(self, report):
        if report.failed and not self.failed:
            self.failed = report.nodeid

    def pytest_collectreport(self, report):
        if report.failed and not self.failed:
            self.failed = report.nodeid


def reaching(found: dict, name: str, line: int) -> list[str]:
    """Return the tests that reach a line, quickest first."""
    of_file = found["lines"].get(name, {})
    direct = of_file.get(str(line), [])
    contexts = set(direct or [test for tests in of_file.values() for test in tests])
    seconds = found["seconds"]
    tests = {test for test in seconds if test in contexts or file_of(test) in contexts}
    return sorted(tests, key=lambda test: seconds[test])


def outcome(tests: list[str], limit: int) -> str:
    """Run tests in a forked process, which has imported the libraries but not the package."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        import pytest

        os.setsid()
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        chosen = Chosen({test: i for i, test in enumerate(tests)})
        files = sorted({file_of(test) for test in tests})
        code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-m", "", *files], plugins=[chosen])
        os.write(writing, (chosen.failed or (f"ended with {code}" if code else "")).encode())
        os._exit(0)
    os.close(writing)
    signal.signal(signal.SIGALRM, lambda *_: os.killpg(child, signal.SIGKILL))
    signal.alarm(limit)
    failed = os.read(reading, 10_000).decode()
    _, status = os.waitpid(child, 0)
    signal.alarm(0)
    os.close(reading)
    return failed or ("no failure in the time limit" if status else "")


def run(path: str, first: int, limit: int) -> None:
    """Print a line for each mutant: its room, kind and place, the number of tests, and the test that killed it."""
    import open_clip, pyarrow.parquet, pytest, scipy.stats, timm, torch, torchvision  # noqa: E401, F401, I001

    sys.path.insert(0, str(Path.cwd()))
    found = json.loads(Path(path).read_text("utf-8"))
    turns: dict[str, int] = defaultdict(int)
    for row in LIST.read_text("utf-8").splitlines():
        kind, name, line, before, after = row.split("\t")
        room = Path(name).parts[1]
        turns[room] += 1
        if turns[room] > first:
            continue
        source = Path(name)
        kept, stat = source.read_bytes(), source.stat()
        lines = kept.decode().splitlines(keepends=True)
        places = [i for i, text in enumerate(lines) if text.strip() == before]
        if not places:
            print(room, kind, name, line, before, after, "", "", "the line has changed", sep="\t", flush=True)
            continue
        place = min(places, key=lambda i: abs(i + 1 - int(line)))
        tests = reaching(found, name, place + 1)
        lines[place] = lines[place].replace(before, after)
        begun = time.monotonic()
        try:
            source.write_text("".join(lines), "utf-8")
            failed = outcome(tests, limit) if tests else "no test"
        finally:
            source.write_bytes(kept)
            os.utime(source, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        took = f"{time.monotonic() - begun:.0f}"
        print(
            room,
            kind,
            name,
            place + 1,
            before,
            after,
            len(tests),
            took,
            failed or "survived",
            sep="\t",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=["draw", "reach", "run"])
    parser.add_argument("file", nargs="?")
    parser.add_argument("--first", type=int, default=NUM_OF_A_ROOM)
    parser.add_argument("--seconds", type=int, default=300)
    options, others = parser.parse_known_args()
    if options.action == "draw":
        draw()
    elif options.action == "reach":
        import pytest

        plugin = Reach()
        pytest.main(["-q", "-p", "no:cacheprovider", *others], plugins=[plugin])
        plugin.write(options.file)
    else:
        run(options.file, options.first, options.seconds)
