"""Documentation of components from their source, without imports, so that `perceptinit show` is fast."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest

from perceptinit.components.building import PARTS, find_parts
from perceptinit.components.class_source import SourceClass, class_nodes, find_class, open_module
from perceptinit.errors import PerceptInitError
from perceptinit.registry import Entry


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
    file, found = open_module(module), find_class(f"{module}.{name}")
    if file is None:
        raise PerceptInitError(f"{entry.title} of plug-in '{entry.plugin}': no module {module}")
    if found is None:
        raise PerceptInitError(f"{entry.title}: {file.path} has no class {name}")
    lineage = found.lineage()
    config = next((c for c in (c.nested("Config") for c in lineage) if c), None)
    arguments = next((a for a in map(_init_arguments, lineage) if a is not None), set())
    docs = (ast.get_docstring(c.node) or ast.get_docstring(c.file.tree) for c in lineage)
    return Description(
        doc=inspect.cleandoc(next(filter(None, docs), "")),
        fields=fields_of(c.node for c in config.lineage()) if config else (),
        parts=tuple(key for key in PARTS if key in arguments),
        location=lineage[0].location,
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


def _init_arguments(cls: SourceClass) -> set[str] | None:
    for child in cls.node.body:
        if isinstance(child, ast.FunctionDef) and child.name == "__init__":
            return {a.arg for a in (*child.args.args, *child.args.kwonlyargs)}
    return None


def fields_of(lineage: Iterable[ast.ClassDef]) -> tuple[Field, ...]:
    """Return the keys of a `Config` from the sources of the class and its bases, nearest first.

    The order is that of dataclasses: keys of bases come first, and an overridden key keeps its position. A
    key without documentation inherits the documentation of the base.
    """
    found: dict[str, Field] = {}
    for node in reversed(list(lineage)):
        for field in _own_fields(node):
            doc = field.doc or (found[field.name].doc if field.name in found else "")
            found[field.name] = replace(field, doc=doc)
    return tuple(found.values())


def _own_fields(cls: ast.ClassDef) -> Iterator[Field]:
    for node, after in zip_longest(cls.body, cls.body[1:]):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        kind = ast.unparse(node.annotation)
        if kind.removeprefix("typing.").startswith("ClassVar"):
            continue
        is_doc = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
        doc = inspect.cleandoc(str(after.value.value)) if is_doc else ""  # type: ignore[union-attr]
        yield Field(node.target.id, kind, ast.unparse(node.value) if node.value else None, doc)
