"""`perceptinit data`: get, check and prepare data sets; one file per verb."""

from __future__ import annotations

import typer

from perceptinit.cli.data import check, download, index, list_, pack

app = typer.Typer(help="Get, check and prepare data sets.", no_args_is_help=True)
app.command("list")(list_.list_)
app.command("download")(download.download)
app.command("check")(check.check)
app.command("pack")(pack.pack)
app.command("index")(index.index)
