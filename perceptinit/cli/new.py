"""`perceptinit new`: a plug-in package or a recipe to edit."""

from pathlib import Path
from typing import Annotated

import typer

from perceptinit.cli.group import Command, Group
from perceptinit.errors import UsageError
from perceptinit.files.atomic import write_file
from perceptinit.registry import KINDS, unknown

app = typer.Typer(cls=Group, help="Create a plug-in package or a recipe to edit.", no_args_is_help=True)


@app.command(cls=Command)
def plugin(
    kind: Annotated[str, typer.Argument(help=f"{', '.join(KINDS)}.")],
    name: Annotated[str, typer.Argument(help="Package, such as acme-texture for component acme/texture.")],
) -> None:
    """Create a working plug-in package that passes the contract test of its kind.

    Example: perceptinit new plugin initializer acme-texture
    """
    from perceptinit.components.scaffold import new_plugin

    folder = new_plugin(name, kind, Path())
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        typer.echo(path)
    typer.echo(f"Next: cd {folder}; pip install -e '.[test]'; pytest")


@app.command()
def recipe(
    name: Annotated[str, typer.Argument(help="Recipe (perceptinit list recipe).")],
) -> None:
    """Copy a bundled recipe to the current folder.

    Example: perceptinit new recipe pi_clip_yfcc
    """
    from perceptinit.results.planned import Planned

    path = copy_recipe(name, Path())
    typer.echo(path)
    spread = Planned.of_file(path, Path()).verdict.spread or "own"
    typer.echo(f'[verdict] spread = "{spread}" (the choice of "own" and "pooled": docs/calibration.md)')
    typer.echo(f"Next: perceptinit validate {path}")


def copy_recipe(name: str, into: Path) -> Path:
    """Write a bundled recipe to `into / NAME.toml` and return that path.

    Raises:
        UsageError: If the name is unknown, or the file exists.
    """
    from perceptinit.recipe.shipped import adapt, list_shipped

    found = list_shipped()
    if name not in found:
        raise UsageError(unknown("no bundled recipe called", name, found))
    target = into / f"{name}.toml"
    if target.exists():
        raise UsageError(f"{target}: already exists. Rename it, or change to another folder")
    write_file(target, adapt(found[name].read_text("utf-8")).encode())
    return target
