"""Reference pages of the Python API: directives for mkdocstrings, which reads the source."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable
from types import ModuleType
from typing import Any

HOOKIMPL = "Decorator of a function that implements the hook of the same name, see [hooks](../hooks.md)."


def api_page() -> str:
    """Return the page of the public functions, types and errors."""
    import perceptinit
    from perceptinit import errors

    lines = ["# Python API", "", "Public functions of `perceptinit`, their types and errors.", ""]
    lines += ["## perceptinit", "", *_named(perceptinit, perceptinit.__all__)]
    lines += ["## perceptinit.types", "", *_module("perceptinit.types")]
    lines += ["## perceptinit.errors", "", *_named(errors, own_classes(errors))]
    return "\n".join(lines)


def plugin_page() -> str:
    """Return the page of `perceptinit.plugin`. Names documented on other pages are only listed."""
    import perceptinit
    from perceptinit import plugin

    names = dir(plugin)
    lines = ["# Plug-in API", "", inspect.getdoc(plugin) or "", ""]
    lines += ["The names: " + ", ".join(f"`{name}`" for name in names) + ".", ""]
    lines += [
        "Types and errors are in the [Python API](api.md), required and optional members of components in "
        "[protocols](protocols.md). The other names follow.",
        "",
    ]
    elsewhere = {f"perceptinit.{name}" for name in ("types", "errors", "protocols")}
    here = [
        name
        for name in names
        if getattr(getattr(plugin, name), "__module__", "") not in elsewhere
        and name not in perceptinit.__all__
    ]
    return "\n".join([*lines, *_named(plugin, here)])


def protocols_page() -> str:
    """Return the page of the protocols of each kind."""
    lines = ["# Protocols", "", *_module("perceptinit.protocols")]
    return "\n".join(lines)


def testing_page() -> str:
    """Return the page of the contract tests."""
    from perceptinit import testing

    lines = ["# Contract tests", "", inspect.getdoc(testing) or "", ""]
    names = [n for n, m in vars(testing).items() if n[0] != "_" and not inspect.ismodule(m)]
    return "\n".join([*lines, *_named(testing, names)])


def own_classes(module: ModuleType) -> list[str]:
    """Return the names of the classes that a module defines."""
    members = vars(module).items()
    return [n for n, m in members if inspect.isclass(m) and m.__module__ == module.__name__]


def _module(name: str) -> Iterable[str]:
    module = importlib.import_module(name)
    yield from [inspect.getdoc(module) or "", ""]
    yield from _named(module, own_classes(module))


def _named(module: ModuleType, names: Iterable[str]) -> Iterable[str]:
    """Yield the directive of mkdocstrings for each name."""
    for name in names:
        member = getattr(module, name)
        if name == "hookimpl":
            yield from [f"### `{name}`", "", HOOKIMPL, ""]
        elif is_documented(member):
            yield from [f"::: {member.__module__}.{member.__qualname__}", ""]


def is_documented(member: Any) -> bool:
    """Return whether a member is a class or a function."""
    return inspect.isclass(member) or inspect.isfunction(member)
