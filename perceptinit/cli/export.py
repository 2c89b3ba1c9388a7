"""`perceptinit export`: the weights of a run for another library."""

from pathlib import Path
from typing import Annotated

import typer


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a run: OUT/<recipe>/<arm>/seed<k>.")],
    to: Annotated[str, typer.Argument(metavar="TARGET", help="timm, open-clip, huggingface or onnx.")],
    out: Annotated[Path | None, typer.Option(help="New folder. [default: RUN/export/<target>]")] = None,
    push: Annotated[
        str | None, typer.Option(metavar="OWNER/NAME", help="Also upload the folder to the Hugging Face Hub.")
    ] = None,
) -> None:
    """Write a folder that another library can load, with a model card.

    Example: perceptinit export runs/quickstart/pi/seed0 open-clip
    """
    from perceptinit import exporting

    folder = exporting.export(run, to, out or run / "export" / to)
    typer.echo(f"{folder}: README.md explains how to load it")
    if push:
        typer.echo(exporting.push(folder, push))
