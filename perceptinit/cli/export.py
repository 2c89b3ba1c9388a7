"""`perceptinit export`: a run's weights for another library."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a run: OUT/<recipe>/<arm>/seed<k>.")],
    to: Annotated[str, typer.Option(help="timm, open-clip, huggingface or onnx.")],
    out: Annotated[Path | None, typer.Option(help="New folder; RUN/export/<target> unless given.")] = None,
    push: Annotated[
        str | None,
        typer.Option(metavar="OWNER/NAME", help="Also upload it to the Hugging Face hub."),
    ] = None,
) -> None:
    """Write a folder that another library loads with its normal call, with a model card.

    Example: perceptinit export runs/quickstart/pi/seed0 --to open-clip
    """
    from perceptinit import exporting

    folder = exporting.export(run, to, out or run / "export" / to)
    typer.echo(f"{folder}: how to load it stands in its README.md")
    if push:
        typer.echo(exporting.push(folder, push))
