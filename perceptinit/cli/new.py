"""`perceptinit new`: a package, or a recipe, to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Write a package or a recipe to start from.", no_args_is_help=True)


@app.command()
def plugin(
    name: Annotated[str, typer.Argument(help="Package, such as acme-texture: offers acme/texture.")],
    kind: Annotated[
        str,
        typer.Option(help="initializer, backbone, pretrainer, judgments, pairs, evaluator or tracker."),
    ],
) -> None:
    """Write a plug-in here that installs, works and passes the contract test of its kind.

    Example: perceptinit new plugin acme-texture --kind initializer
    """
    from perceptinit.components.scaffold import new_plugin

    folder = new_plugin(name, kind, Path())
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        typer.echo(path)
    typer.echo(f"Next: cd {folder}; pip install -e '.[test]'; pytest")


@app.command()
def recipe(
    name: Annotated[str, typer.Argument(help="Recipe, as perceptinit list recipe gives it.")],
) -> None:
    """Write an editable copy of a bundled recipe here.

    Example: perceptinit new recipe pi_clip_yfcc
    """
    from perceptinit.recipe.shipped import copy

    path = copy(name, Path())
    typer.echo(path)
    typer.echo(f"Next: perceptinit validate {path}")
