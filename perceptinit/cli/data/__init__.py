"""`perceptinit data`: download, check and index data sets; one file for each command."""

import typer

from perceptinit.cli.data import check, download, index, list_, pack
from perceptinit.cli.group import Command, Group


def create_group() -> typer.Typer:
    """Return the group with the core commands. Companions can add commands."""
    group = typer.Typer(cls=Group, help="Download, check and prepare data sets.", no_args_is_help=True)
    group.command("list", cls=Command)(list_.list_)
    group.command("download", cls=Command)(download.download)
    group.command("check", cls=Command)(check.check)
    group.command("index", cls=Command)(index.index)
    group.command("pack", cls=Command)(pack.pack)
    return group
