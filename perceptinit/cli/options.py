"""Options that several commands share."""

from typing import Annotated

import typer

Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Override a key, such as pretrain.epochs=1."),
]
Device = Annotated[str, typer.Option(help="torch device, or auto.")]
Fresh = Annotated[
    bool, typer.Option("--fresh", help="Do finished and interrupted runs again from the start.")
]
Jobs = Annotated[
    int, typer.Option(min=1, help="Runs at the same time, each in a process of its own.")
]
Workers = Annotated[
    int | None,
    typer.Option(min=0, help="Threads of each process that decode images; by default its cores."),
]
