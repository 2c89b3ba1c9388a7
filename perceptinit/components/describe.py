"""Documentation of components from their classes and the source of their configs."""

import ast
import inspect
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from perceptinit.components.building import find_parts
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
    """

    doc: str
    fields: tuple[Field, ...]
    parts: tuple[str, ...]
    location: str


def describe(entry: Entry) -> Description:
    """Return the documentation of a component, including inherited keys.

    Raises:
        PerceptInitError: If the class cannot be imported, or has no source.
    """
    cls = entry.load()
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


def fields_of(lineage: Iterable[ast.ClassDef]) -> tuple[Field, ...]:
    """Return the keys of a `Config` from the sources of the class and its bases, nearest first.

    The order is that of dataclasses: keys of bases come first, and an overridden key keeps its position. A
    key without documentation inherits the documentation of the base.
    """
    found: dict[str, Field] = {}
    for node in reversed(list(lineage)):
        for field in _own_fields(node):
            found[field.name] = replace(field, doc=field.doc or found.get(field.name, field).doc)
    return tuple(found.values())


def _own_fields(cls: ast.ClassDef) -> Iterator[Field]:
    for following, node in enumerate(cls.body, 1):
        if not isinstance(node, ast.AnnAssign):
            continue
        kind = _type_of(node.annotation)
        if not kind.removeprefix("typing.").startswith("ClassVar"):
            default = ast.unparse(node.value) if node.value else None
            doc = ast.get_docstring(ast.Module(cls.body[following:], []))  # a string below the key
            yield Field(ast.unparse(node.target), kind, default, doc or "")


def _type_of(annotation: ast.expr) -> str:
    """Return the type of a key, without the mark `NEUTRAL`."""
    match annotation:
        case ast.Subscript(
            value=ast.Name(id="Annotated"), slice=ast.Tuple(elts=[kind, ast.Name(id="NEUTRAL")])
        ):
            return ast.unparse(kind)
    return ast.unparse(annotation)


def class_nodes(cls: type) -> Iterator[ast.ClassDef]:
    """Yield the syntax trees of an imported class and its bases, nearest first, if they have source code."""
    for c in cls.__mro__:
        with suppress(TypeError, OSError):  # a builtin
            node = ast.parse(textwrap.dedent(inspect.getsource(c))).body[0]
            if isinstance(node, ast.ClassDef):
                yield node
