"""The command line shows help texts verbatim."""

import inspect
import io
import re
from contextlib import redirect_stdout

import pytest
import typer

from perceptinit.cli import create_app
from perceptinit.components.plugin_manager import build_plugin_manager

ROOT = typer.main.get_command(create_app(build_plugin_manager()))


def verbs(command=ROOT, words=()):
    inner = getattr(command, "commands", {})
    return [v for name in inner for v in verbs(inner[name], (*words, name))] or [(words, command)]


@pytest.mark.parametrize(
    ("words", "command"),
    verbs(),
    ids=lambda part: " ".join(part) if isinstance(part, tuple) else "",
)
def test_help_shows_brackets_of_its_text(words, command, monkeypatch):
    monkeypatch.setenv("TERMINAL_WIDTH", "200")
    written = [
        inspect.getdoc(command.callback) or "",
        *(getattr(p, "help", None) or "" for p in command.params),
    ]
    output = io.StringIO()
    with redirect_stdout(output):
        ROOT([*words, "--help"], standalone_mode=False)
    for part in re.findall(r"\[+[a-z][a-z.]*\]+", " ".join(written).replace("\\", "")):
        assert part in output.getvalue()
