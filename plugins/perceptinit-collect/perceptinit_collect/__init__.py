"""Collect similarity judgments with a web page, without importing torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perceptinit.plugin import hookimpl

if TYPE_CHECKING:
    import typer


@hookimpl
def perceptinit_commands(app: typer.Typer) -> None:
    from perceptinit_collect.cli import collect

    app.command("collect")(collect)
