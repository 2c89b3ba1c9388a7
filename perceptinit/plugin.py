"""The API for plug-ins. Their tests also import `perceptinit.testing`.

    from perceptinit.plugin import Component, Pair, PositiveInt, RunContext, hookimpl

These names and their arguments are stable from 0.2. A removal is announced in the changelog, and using the
name issues a warning for at least one minor version. Other modules can change at any time.

`plugin.pyi` lists the names, for type checkers and at run time. A name is imported from its module when it is
first used, so the module that lists components can import from here at no cost.
"""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path
from typing import Any


def _read_modules() -> dict[str, str]:
    """Return the module of each name in the stub file."""
    stub = ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    imports = [statement for statement in stub.body if isinstance(statement, ast.ImportFrom)]
    return {alias.name: statement.module or "" for statement in imports for alias in statement.names}


_MODULES = _read_modules()


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'perceptinit.plugin' has no attribute '{name}'")
    value = globals()[name] = getattr(import_module(_MODULES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted(_MODULES)
