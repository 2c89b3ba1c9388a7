"""What a component is and takes, read from its source text: nothing is imported, so `show` is instant."""

from __future__ import annotations

import ast
import importlib.util
import inspect
from dataclasses import dataclass
from pathlib import Path

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
    """A component's documentation, keys, parts (nested tables) and where it is written."""

    doc: str
    fields: tuple[Field, ...]
    parts: tuple[str, ...]
    location: str


def describe(entry: Entry) -> Description:
    """Return what the source of a component says.

    Raises PerceptInitError when the source or the class in it cannot be found.
    """
    from perceptinit.components.building import PART_KINDS

    module, class_name = entry.component.location
    path = _source_path(entry, module)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    node = _find_class(tree, class_name.rpartition(".")[2])
    if node is None:
        raise PerceptInitError(f"{entry.title}: {path} has no class {class_name}")
    config = _find_class(node, "Config")
    arguments = _init_arguments(node)
    return Description(
        doc=inspect.cleandoc(ast.get_docstring(node) or ast.get_docstring(tree) or ""),
        fields=fields_of(config, tree) if config else (),
        parts=tuple(kind for kind in PART_KINDS if kind in arguments),
        location=f"{path}:{node.lineno}",
    )


def _source_path(entry: Entry, module: str) -> Path:
    if not isinstance(entry.component.target, str):
        return Path(inspect.getsourcefile(entry.component.target) or "")
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        spec = None
    if spec is None or not spec.origin:
        raise PerceptInitError(f"{entry.title} of plug-in '{entry.plugin}': no module {module}")
    return Path(spec.origin)


def _find_class(node: ast.AST, name: str) -> ast.ClassDef | None:
    body = getattr(node, "body", [])
    return next((n for n in body if isinstance(n, ast.ClassDef) and n.name == name), None)


def _init_arguments(node: ast.ClassDef) -> set[str]:
    for child in node.body:
        if isinstance(child, ast.FunctionDef) and child.name == "__init__":
            arguments = child.args
            return {a.arg for a in (*arguments.args, *arguments.kwonlyargs)}
    return set()


def fields_of(config: ast.ClassDef, tree: ast.Module) -> tuple[Field, ...]:
    """Return the keys of a Config; those of a base class in the same file come first, as in dataclasses."""
    bases = [_find_class(tree, base.id) for base in config.bases if isinstance(base, ast.Name)]
    fields = [field for base in bases if base for field in fields_of(base, tree)]
    for node, after in zip(config.body, [*config.body[1:], None], strict=True):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        is_doc = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
        doc = inspect.cleandoc(str(after.value.value)) if is_doc else ""  # type: ignore[union-attr]
        default = ast.unparse(node.value) if node.value is not None else None
        fields.append(Field(node.target.id, ast.unparse(node.annotation), default, doc))
    return tuple(fields)
