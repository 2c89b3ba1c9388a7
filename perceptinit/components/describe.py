"""Documentation of components from their source, without imports, so that `perceptinit show` is fast."""

from __future__ import annotations

import ast
import builtins
import importlib.util
import inspect
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from importlib.machinery import ModuleSpec
from itertools import accumulate, chain
from pathlib import Path

from perceptinit.components.building import PARTS, find_parts
from perceptinit.errors import PerceptInitError
from perceptinit.registry import Entry

MOST_ALIASES = 20  # maximum number of imports and assignments to follow to resolve a name


@dataclass(frozen=True, slots=True)
class Field:
    """One key of a recipe table."""

    name: str
    type: str
    default: str | None
    doc: str


@dataclass(frozen=True, slots=True)
class Description:
    """Documentation of a component.

    Args:
        doc: Docstring of the class.
        fields: Keys of its `Config`.
        parts: Kinds of its nested components.
        location: File and line.
        unseen: Bases of its `Config` without source, whose keys are missing from `fields`.
    """

    doc: str
    fields: tuple[Field, ...]
    parts: tuple[str, ...]
    location: str
    unseen: tuple[str, ...] = ()


def describe(entry: Entry) -> Description:
    """Return the documentation of a component, including inherited keys.

    Raises:
        PerceptInitError: If the source or the class is not found.
    """
    target = entry.component.target
    if not isinstance(target, str):
        return _describe_class(entry, target)
    module, name = entry.component.location
    file = open_module(module)
    if file is None:
        raise PerceptInitError(f"{entry.title} of plug-in '{entry.plugin}': no module {module}")
    found = file.find(name)
    if found is None:
        raise PerceptInitError(f"{entry.title}: {file.path} has no class {name}")
    lineage = found.lineage()
    config = found.nested("Config")
    arguments = _init_arguments(lineage)
    return Description(
        doc=next(filter(None, (c.doc for c in lineage)), ""),
        fields=fields_of(c.tree for c in config.lineage()) if config else (),
        parts=tuple(key for key in PARTS if key in arguments),
        location=f"{found.path}:{found.tree.lineno}",
        unseen=tuple(config.unseen_bases()) if config else (),
    )


def _describe_class(entry: Entry, cls: type) -> Description:
    """Return the documentation of a class that is already imported."""
    try:
        line = inspect.getsourcelines(cls)[1]
    except (OSError, TypeError) as error:
        raise PerceptInitError(
            f"{entry.title} of plug-in '{entry.plugin}': source of {cls} not found"
        ) from error
    config = getattr(cls, "Config", None)
    return Description(
        doc=inspect.getdoc(cls) or "",
        fields=fields_of(class_nodes(config)) if config else (),
        parts=tuple(find_parts(cls)),
        location=f"{inspect.getsourcefile(cls)}:{line}",
    )


def _init_arguments(lineage: Iterable[SourceClass]) -> set[str]:
    for node in chain.from_iterable(cls.tree.body for cls in lineage):
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            return {argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)}
    return set()


def fields_of(lineage: Iterable[ast.ClassDef]) -> tuple[Field, ...]:
    """Return the keys of a `Config` from the sources of the class and its bases, nearest first.

    The order is that of dataclasses: keys of bases come first, and an overridden key keeps its position. A
    key without documentation inherits the documentation of the base.
    """
    found: dict[str, Field] = {}
    for node in reversed(list(lineage)):
        for field in _own_fields(node):
            inherited = found.get(field.name, field)
            found[field.name] = replace(field, doc=field.doc or inherited.doc)
    return tuple(found.values())


def _own_fields(cls: ast.ClassDef) -> Iterator[Field]:
    for following, node in enumerate(cls.body, 1):
        if not isinstance(node, ast.AnnAssign):
            continue
        kind = ast.unparse(node.annotation)
        if not kind.removeprefix("typing.").startswith("ClassVar"):
            default = ast.unparse(node.value) if node.value else None
            doc = ast.get_docstring(ast.Module(cls.body[following:], []))  # a string below the key
            yield Field(ast.unparse(node.target), kind, default, doc or "")


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
