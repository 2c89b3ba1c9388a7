"""`perceptinit new`: a package to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Write a package to start from.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Write a package to start from."""


@app.command()
def plugin(
    name: Annotated[
        str, typer.Argument(help="Package, such as acme-texture: offers acme/texture.")
    ],
    kind: Annotated[
        str,
        typer.Option(
            help="initializer, backbone, pretrainer, judgments, pairs, evaluator or tracker."
        ),
    ],
    into: Annotated[
        Path, typer.Option(help="Folder that the package's folder goes into.")
    ] = Path(),
) -> None:
    """Write a plug-in that installs, works and passes the contract test of its kind.

    Example: perceptinit new plugin acme-texture --kind initializer
    """
    from perceptinit.components.scaffold import new_plugin

    folder = new_plugin(name, kind, into)
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        typer.echo(path)
    typer.echo(f"Next: cd {folder}; pip install -e '.[test]'; pytest")
