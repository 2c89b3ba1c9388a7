"""Read classes and their bases from source files, without importing them."""

from __future__ import annotations

import ast
import builtins
import importlib.util
import inspect
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec
from itertools import accumulate
from pathlib import Path

MOST_ALIASES = 20  # maximum number of imports and assignments to follow to resolve a name


@dataclass(frozen=True, slots=True)
class Scope:
    """A module or class in a source file, parsed but not imported.

    Args:
        tree: Its syntax tree.
        path: File.
        package: Package of the file, to which relative imports refer.
        outer: Enclosing class or module.
    """

    tree: ast.Module | ast.ClassDef
    path: Path
    package: str
    outer: Scope | None = None

    @property
    def doc(self) -> str | None:
        """Return the docstring, or else that of the enclosing class or module."""
        return ast.get_docstring(self.tree) or (self.outer.doc if self.outer else None)

    def find(self, name: str, left: int = MOST_ALIASES, but: ast.AST | None = None) -> SourceClass | None:
        """Return the class with a dotted name, defined or imported in this scope or an enclosing one.

        Args:
            name: Dotted name, such as `Outer.Config`.
            left: Maximum number of further imports and assignments to follow.
            but: Definition to skip: in `class Table(Table)`, the base is an imported class of the same name.
        """
        head, _, rest = name.partition(".")
        for defined, target in reversed([*self.names()]):  # the last definition is valid
            if defined == head and target is not but and left:
                return self._follow(target, rest, left - 1)
        return self.outer.find(name, left, but) if self.outer else None

    def _follow(self, target: ast.ClassDef | ast.expr | str, rest: str, left: int) -> SourceClass | None:
        if isinstance(target, ast.ClassDef):
            found = SourceClass(target, self.path, self.package, outer=self)
            return found.nested(rest) if rest else found
        if isinstance(target, str):
            return find_class(f"{target}.{rest}".rstrip("."), left)
        return self.find(f"{ast.unparse(target)}.{rest}".rstrip("."), left, but=target)

    def names(self) -> Iterator[tuple[str, ast.ClassDef | ast.expr | str]]:
        """Yield each name that is defined here with its class, its value or the dotted path of its import."""
        for node in _statements(self.tree.body):
            if isinstance(node, ast.ClassDef):
                yield node.name, node
            elif isinstance(node, ast.Assign) and self.outer:
                yield ast.unparse(node.targets[0]), node.value
            elif isinstance(node, ast.AnnAssign) and self.outer and node.value:
                yield ast.unparse(node.target), node.value
            elif isinstance(node, ast.ImportFrom):
                start = importlib.util.resolve_name("." * node.level + (node.module or ""), self.package)
                yield from ((alias.asname or alias.name, f"{start}.{alias.name}") for alias in node.names)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    top = alias.name.partition(".")[0]
                    yield alias.asname or top, alias.name if alias.asname else top


@dataclass(frozen=True, slots=True)
class SourceClass(Scope):
    """A class in a source file, whose bases are looked up in the enclosing class or module."""

    tree: ast.ClassDef
    outer: Scope

    def nested(self, name: str) -> SourceClass | None:
        """Return the nested class with a dotted name, from the class or a base."""
        head = name.partition(".")[0]
        owner = next((c for c in self.lineage() if head in dict(c.names())), None)
        return owner.find(name) if owner else None

    def lineage(self) -> list[SourceClass]:
        """Return the class and the bases that were found, nearest first."""
        found = [self, *(c for base in self._bases().values() if base for c in base.lineage())]
        # a shared base follows all of its subclasses
        return list(dict.fromkeys(reversed(found)))[::-1]

    def unseen_bases(self) -> list[str]:
        """Return the names of bases without source, such as bases from missing packages."""
        bases = [item for c in self.lineage() for item in c._bases().items()]
        return [name for name, base in bases if base is None and not hasattr(builtins, name)]

    def _bases(self) -> dict[str, SourceClass | None]:
        names = (ast.unparse(base).partition("[")[0] for base in self.tree.bases)
        return {name: self.outer.find(name, but=self.tree) for name in names}


def find_class(path: str, left: int) -> SourceClass | None:
    """Return the class at a dotted path, such as `package.module.Outer.Config`, or None."""
    parts = path.split(".")
    for end in range(len(parts) - 1, 0, -1):
        module = open_module(".".join(parts[:end]))
        if module is not None:
            return module.find(".".join(parts[end:]), left)
    return None


def class_nodes(cls: type) -> Iterator[ast.ClassDef]:
    """Yield the syntax trees of an imported class and its bases, nearest first, if they have source code."""
    for c in cls.__mro__:
        with suppress(TypeError, OSError):  # a builtin
            node = ast.parse(textwrap.dedent(inspect.getsource(c))).body[0]
            if isinstance(node, ast.ClassDef):
                yield node


def open_module(module: str) -> Scope | None:
    """Return the source of a module, or of its stub file if it has one; None if not found."""
    spec: ModuleSpec | None = getattr(sys.modules.get(module), "__spec__", None) or _find_spec(module)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    path = Path(spec.origin)
    stub = path.with_suffix(".pyi")
    return _read(stub if stub.is_file() else path, spec.parent or "")


@cache
def _read(path: Path, package: str) -> Scope:
    return Scope(ast.parse(path.read_text(encoding="utf-8")), path, package)


def _find_spec(module: str) -> ModuleSpec | None:
    """Return the spec of a module. Unlike importlib.util.find_spec, this imports no parent packages."""
    places: Sequence[str] | None = None
    for name in accumulate(module.split("."), "{}.{}".format):
        found = (finder.find_spec(name, places) for finder in sys.meta_path)
        spec = next(filter(None, found), None)
        places = spec.submodule_search_locations or () if spec else ()
    return spec


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a scope, including those under `if` and `try`."""
    for statement in body:
        yield statement
        if isinstance(statement, (ast.If, ast.Try)):
            yield from _statements([*statement.body, *statement.orelse])
