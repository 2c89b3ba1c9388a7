"""Size of the Python files that git tracks, in statements and names, which do not depend on line breaks.

    python tests/size.py               every room of perceptinit and every package in plugins/, without tests
    python tests/size.py FOLDER ...    these folders

Docstrings do not count. A packed assignment (`a, b = x, y`) and an unpacked generator (`a, b = (f(x) for x in z)`)
count as their parts. The last lines are the code outside these folders and the number of names in `perceptinit.plugin`.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[1]
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
ELSEWHERE = ("examples", "benchmarks", "recipes", "site_hooks")


@dataclass
class Size:
    """Counts of a group of files."""

    files: int = 0
    statements: int = 0
    packed: int = 0
    walruses: int = 0
    comprehensions: int = 0

    def add(self, source: str) -> None:
        """Count the statements of one more file."""
        self.files += 1
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.stmt) and not is_docstring(node):
                self.statements += 1
            self.statements += max(_num_unpacked(node, (ast.Tuple, ast.GeneratorExp)) - 1, 0)
            self.packed += _num_unpacked(node, ast.Tuple) > 0
            self.walruses += isinstance(node, ast.NamedExpr)
            self.comprehensions += isinstance(node, COMPREHENSIONS)

    def __add__(self, other: Self) -> Size:
        return Size(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Size)))

    def rate(self, count: str) -> float:
        """Return a count in 1,000 statements."""
        return 1000 * getattr(self, count) / max(self.statements, 1)

    def __str__(self) -> str:
        rates = ", ".join(
            f"{self.rate(name):.1f} {name}" for name in ("packed", "walruses", "comprehensions")
        )
        return f"{self.files:4d} files {self.statements:6d} statements; in 1,000: {rates}"


def is_docstring(node: ast.AST) -> bool:
    """Return whether a node is a string that stands alone."""
    constant = node.value if isinstance(node, ast.Expr) else None
    return isinstance(constant, ast.Constant) and isinstance(constant.value, str)


def _num_unpacked(node: ast.AST, values: type | tuple[type, ...]) -> int:
    """Return the number of targets of `a, b = value`, or 0 if the value has another type."""
    if not isinstance(node, ast.Assign):
        return 0
    target = node.targets[0]
    return len(target.elts) if isinstance(target, ast.Tuple) and isinstance(node.value, values) else 0


def tracked(folders: Iterable[str], endings: Sequence[str] = (".py",)) -> Iterator[Path]:
    """Yield the tracked Python files of folders, without tests."""
    listed = subprocess.run(
        ["git", "ls-files", "--", *folders], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for name in listed:
        if name.endswith(tuple(endings)) and "/tests/" not in name and (ROOT / name).is_file():
            yield ROOT / name


def measure(*folders: str) -> Size:
    """Return the size of the tracked Python files of folders."""
    return _measure(tracked(folders))


def _measure(paths: Iterable[Path]) -> Size:
    size = Size()
    for path in paths:
        size.add(path.read_text("utf-8"))
    return size


def by_room() -> dict[str, Size]:
    """Return the size of the top level and each subpackage of perceptinit, and of each package in plugins/."""
    rooms: dict[str, Size] = {}
    for path in tracked(["perceptinit", "plugins"]):
        top, second, *rest = path.relative_to(ROOT).parts
        room = f"{top}/{second}" if rest else top
        rooms[room] = rooms.get(room, Size()) + _measure([path])
    return rooms


def count_names() -> int:
    """Return the number of names in the API for plug-ins."""
    tree = ast.parse((ROOT / "perceptinit/plugin.py").read_text("utf-8"))
    tables = [node.value for node in tree.body if isinstance(node, ast.Assign)]
    return sum(len(table.keys) for table in tables if isinstance(table, ast.Dict))


if __name__ == "__main__":
    rooms = {folder: measure(folder) for folder in sys.argv[1:]} or by_room()
    rooms["all"] = sum(rooms.values(), Size())
    if not sys.argv[1:]:
        rooms["elsewhere"] = _measure(
            [*tracked(ELSEWHERE, (".py", ".pyi")), *tracked(["perceptinit"], (".pyi",))]
        )
    for room, size in rooms.items():
        print(f"{room:40s} {size}")
    print(f"{count_names()} names in perceptinit.plugin")
