"""`perceptinit estimate`: a pretraining on GPUs, estimated without one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def estimate(
    recipe: Annotated[Path, typer.Argument(help="Recipe file (TOML), or the name of a bundled recipe.")],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Override a key, such as pretrain.epochs=1."),
    ] = None,
    world: Annotated[list[int] | None, typer.Option(min=1, help="Number of GPUs; may be repeated.")] = None,
    memory: Annotated[float, typer.Option(min=1, help="Memory of each GPU, in GB (1e9 bytes).")] = 80.0,
) -> None:
    """Estimate memory, arithmetic, traffic and hours of a pretraining on GPUs. Needs no GPU.

    A batch that the GPUs cannot share and a model that does not fit are errors. Activations that do not fit
    are a warning with the largest micro-batch that does.

    Example: perceptinit estimate pi_clip_yfcc --world 8 --world 64
    """
    from perceptinit.plugin import load_recipe
    from perceptinit_estimate.dry_run import dry_runs, table

    runs = dry_runs(load_recipe(recipe, set_ or ()), world or [1], memory)
    for line in (*table(runs), *(f"warning: {text}" for run in runs for text in run.warnings())):
        typer.echo(line)
