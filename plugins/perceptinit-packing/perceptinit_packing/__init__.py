"""Pack images with captions or labels into webdataset shards or test sets, and stream such shards.

`sources` reads folders and tables, `shards` writes one tar, and `journal` records the finished shards. `pack`
writes all shards in parallel and resumes after an interruption. `stream` reads pairs from shell commands.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from perceptinit.plugin import Component, hookimpl

if TYPE_CHECKING:
    import typer


@hookimpl
def perceptinit_pairs() -> Iterable[Component]:
    return [
        Component(
            name="webdataset-stream",
            target="perceptinit_packing.stream:WebdatasetStreamPairs",
            summary="tar shards that can only be streamed (`pipe:`), with weaker guarantees",
        ),
    ]


@hookimpl
def perceptinit_commands(app: typer.Typer) -> None:
    from perceptinit_packing.cli import pack

    group = next(group for group in app.registered_groups if group.name == "data")
    assert group.typer_instance is not None
    group.typer_instance.command("pack")(pack)
