"""Documentation of components from their source, without imports, so that `perceptinit show` is fast."""

import ast
import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain

from perceptinit.components.building import PARTS, find_parts
from perceptinit.components.class_source import SourceClass, class_nodes, open_module
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
