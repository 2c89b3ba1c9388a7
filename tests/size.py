"""Size of the Python files that git tracks, in statements and names, which do not depend on line breaks.

    python tests/size.py [FOLDER ...]      default: perceptinit and every package in plugins/, without tests

Docstrings do not count. A packed assignment (`a, b = x, y`) counts as its parts. The last line is the number
of names in `perceptinit.plugin`.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


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
            if isinstance(node, ast.stmt) and not _is_docstring(node):
                self.statements += 1
            parts = _num_packed(node)
            if parts:
                self.packed += 1
                self.statements += parts - 1
            self.walruses += isinstance(node, ast.NamedExpr)
            self.comprehensions += isinstance(node, COMPREHENSIONS)

    def rate(self, count: str) -> float:
        """Return a count in 1,000 statements."""
        return 1000 * getattr(self, count) / max(self.statements, 1)

    def __str__(self) -> str:
        rates = ", ".join(
            f"{self.rate(name):.1f} {name}" for name in ("packed", "walruses", "comprehensions")
        )
        return f"{self.files:4d} files {self.statements:6d} statements; in 1,000: {rates}"


def _is_docstring(node: ast.AST) -> bool:
    constant = node.value if isinstance(node, ast.Expr) else None
    return isinstance(constant, ast.Constant) and isinstance(constant.value, str)


def _num_packed(node: ast.AST) -> int:
    """Return the number of assignments in `a, b = x, y`, or 0 for another statement."""
    if not isinstance(node, ast.Assign):
        return 0
    target = node.targets[0]
    is_packed = isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple)
    return len(target.elts) if is_packed else 0


def tracked(folders: Iterable[str]) -> Iterator[Path]:
    """Yield the tracked Python files of folders, without tests."""
    listed = subprocess.run(
        ["git", "ls-files", "--", *folders], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for name in listed:
        if name.endswith(".py") and "/tests/" not in name and (ROOT / name).is_file():
            yield ROOT / name


def measure(*folders: str) -> Size:
    """Return the size of the tracked Python files of folders."""
    size = Size()
    for path in tracked(folders):
        size.add(path.read_text("utf-8"))
    return size


def count_names() -> int:
    """Return the number of names in the API for plug-ins."""
    tree = ast.parse((ROOT / "perceptinit/plugin.py").read_text("utf-8"))
    tables = [node.value for node in tree.body if isinstance(node, ast.Assign)]
    return sum(len(table.keys) for table in tables if isinstance(table, ast.Dict))


if __name__ == "__main__":
    packages = [f"plugins/{path.name}" for path in sorted((ROOT / "plugins").iterdir()) if path.is_dir()]
    folders = sys.argv[1:] or ["perceptinit", *packages]
    for folder in folders:
        print(f"{folder:40s} {measure(folder)}")
    print(f"{'all':40s} {measure(*folders)}")
    print(f"{count_names()} names in perceptinit.plugin")
