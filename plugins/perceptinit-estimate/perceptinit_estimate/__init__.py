"""Estimate the memory, traffic and duration of GPU pretraining without a GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perceptinit.plugin import hookimpl

if TYPE_CHECKING:
    import typer


@hookimpl
def perceptinit_commands(app: typer.Typer) -> None:
    from perceptinit_estimate.cli import estimate

    app.command("estimate")(estimate)
