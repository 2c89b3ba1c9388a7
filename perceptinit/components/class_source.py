"""Read classes and their bases from source files, without importing them."""

from __future__ import annotations

import ast
import builtins
import importlib.util
import inspect
import sys
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from pathlib import Path

MOST_REEXPORTS = 20  # maximum number of files through which an imported name is resolved


@dataclass(frozen=True, slots=True)
class SourceFile:
    """The source of a module, parsed but not imported."""

    module: str
    path: Path
    tree: ast.Module

    def find(
        self, name: str, left: int = MOST_REEXPORTS, but: ast.ClassDef | None = None
    ) -> SourceClass | None:
        """Return the class with a dotted name, defined or imported in this file.

        Args:
            name: Dotted name, such as `Outer.Config`.
            left: Maximum number of further files to read to resolve the name.
            but: Class to skip: in `class Table(Table)`, the base is an imported class with the same name.
        """
        head, _, rest = name.partition(".")
        node = _class_in(_statements(self.tree.body), head)
        if node is not None and node is not but:
            found: SourceClass | None = SourceClass(node, self)
            for part in filter(None, rest.split(".")):
                found = found.nested(part) if found else None
            return found
        target = self.imports().get(head)
        return find_class(f"{target}.{rest}".rstrip("."), left - 1) if target and left else None

    def imports(self) -> dict[str, str]:
        """Return the dotted path of each imported name."""
        names = {}
        package = self.module if self.path.stem == "__init__" else self.module.rpartition(".")[0]
        for node in _statements(self.tree.body):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    top = alias.name.partition(".")[0]
                    names[alias.asname or top] = alias.name if alias.asname else top
            elif isinstance(node, ast.ImportFrom):
                start = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
                names.update({a.asname or a.name: f"{start}.{a.name}" for a in node.names})
        return names


@dataclass(frozen=True, slots=True)
class SourceClass:
    """A class in a file, with its enclosing class, in which its bases may be defined."""

    node: ast.ClassDef
    file: SourceFile
    outer: ast.ClassDef | None = None

    @property
    def location(self) -> str:
        return f"{self.file.path}:{self.node.lineno}"

    def lineage(self) -> list[SourceClass]:
        """Return the class and the bases that were found, nearest first."""
        found = [self, *(c for base in self._bases().values() if base for c in base.lineage())]
        # a shared base follows all of its subclasses
        return list(dict.fromkeys(reversed(found)))[::-1]

    def nested(self, name: str) -> SourceClass | None:
        """Return the nested class with this name, from the class or a base."""
        for owner in self.lineage():
            for statement in owner.node.body:
                if isinstance(statement, ast.ClassDef) and statement.name == name:
                    return SourceClass(statement, owner.file, owner.node)
                if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == name:
                    return owner.file.find(ast.unparse(statement.value))
        return None

    def unseen_bases(self) -> list[str]:
        """Return the names of bases without source, such as bases from missing packages."""
        bases = [item for c in self.lineage() for item in c._bases().items()]
        return [name for name, base in bases if base is None and not hasattr(builtins, name)]

    def _bases(self) -> dict[str, SourceClass | None]:
        found: dict[str, SourceClass | None] = {}
        for base in self.node.bases:
            name = ast.unparse(base.value if isinstance(base, ast.Subscript) else base)
            beside = _class_in(self.outer.body, name) if self.outer else None
            if beside is not None and beside is not self.node:
                found[name] = SourceClass(beside, self.file, self.outer)
            else:
                found[name] = self.file.find(name, but=self.node)
        return found


def find_class(path: str, left: int = MOST_REEXPORTS) -> SourceClass | None:
    """Return the class at a dotted path, such as `package.module.Outer.Config`, or None."""
    parts = path.split(".")
    for end in range(len(parts) - 1, 0, -1):
        file = open_module(".".join(parts[:end]))
        if file is not None:
            return file.find(".".join(parts[end:]), left)
    return None


def class_nodes(cls: type) -> Iterator[ast.ClassDef]:
    """Yield the syntax trees of an imported class and its bases, nearest first, if they have source code."""
    for c in cls.__mro__:
        try:
            node = ast.parse(textwrap.dedent(inspect.getsource(c))).body[0]
        except (TypeError, OSError):  # a builtin
            continue
        if isinstance(node, ast.ClassDef):
            yield node


def open_module(module: str) -> SourceFile | None:
    """Return the source of a module, or of its stub file if it has one; None if not found."""
    path = _locate(module)
    if path is None:
        return None
    stub = path.with_suffix(".pyi")
    return _read(module, stub if stub.is_file() else path)


@cache
def _read(module: str, path: Path) -> SourceFile:
    return SourceFile(module, path, ast.parse(path.read_text(encoding="utf-8")))


def _locate(module: str) -> Path | None:
    """Return the file of a module. Unlike importlib.util.find_spec, it imports no parent packages."""
    if module in sys.modules:
        origin = getattr(sys.modules[module], "__file__", None)
        return Path(origin) if origin and origin.endswith(".py") else None
    places = None
    for name in accumulate(module.split("."), "{}.{}".format):
        found = (finder.find_spec(name, places) for finder in sys.meta_path)
        spec = next((s for s in found if s is not None), None)
        if spec is None:
            return None
        places = spec.submodule_search_locations
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a module, including those under `if` and `try`."""
    for statement in body:
        yield statement
        if isinstance(statement, (ast.If, ast.Try)):
            yield from _statements([*statement.body, *statement.orelse])


def _class_in(statements: Iterable[ast.stmt], name: str) -> ast.ClassDef | None:
    return next((n for n in statements if isinstance(n, ast.ClassDef) and n.name == name), None)
