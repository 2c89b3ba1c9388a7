"""Reference pages of the command line and of the hooks, generated from the code."""

from __future__ import annotations

import inspect
from typing import Any


def cli_page() -> str:
    """Return the page of all commands with arguments, options and examples."""
    import typer.main

    from perceptinit.cli import create_app
    from perceptinit.components.plugin_manager import build_plugin_manager

    root = typer.main.get_command(create_app(build_plugin_manager()))
    lines = ["# Command line reference", ""]
    for name, command in sorted(verbs(root, "perceptinit")):
        lines += [f"## `{name}`", "", inspect.cleandoc(command.help or ""), ""]
        shown = [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]
        lines += ["| | |", "|---|---|", *map(_parameter_row, shown), ""]
    return "\n".join(lines)


def verbs(group: Any, path: str) -> list[tuple[str, Any]]:
    """Return the full name and the object of each command in a group."""
    found = []
    for name, command in group.commands.items():
        below = f"{path} {name}"
        found += verbs(command, below) if hasattr(command, "commands") else [(below, command)]
    return found


def _parameter_row(parameter: Any) -> str:
    is_option = parameter.param_type_name == "option"
    names = ", ".join(parameter.opts) if is_option else parameter.name.upper()
    text = (getattr(parameter, "help", "") or "").replace("|", "\\|")
    return f"| `{names}` | {text} |"


def hookspecs_page() -> str:
    """Return the page of the hooks, which mkdocstrings fills from the source."""
    from perceptinit import hookspecs

    names = [name for name in vars(hookspecs) if name.startswith("perceptinit_")]
    lines = ["# Hook specifications", "", inspect.getdoc(hookspecs) or "", ""]
    return "\n".join(lines + [f"::: perceptinit.hookspecs.{name}\n" for name in names])
