"""Estimate memory, traffic and hours of a pretraining on GPUs, without one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perceptinit.plugin import hookimpl

if TYPE_CHECKING:
    import typer


@hookimpl
def perceptinit_commands(app: typer.Typer) -> None:
    from perceptinit_estimate.cli import estimate

    app.command("estimate")(estimate)
