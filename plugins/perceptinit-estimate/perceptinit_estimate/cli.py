"""`perceptinit estimate`: estimate the cost of GPU pretraining without a GPU."""

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
    """Estimate the memory, FLOPs, traffic and duration of GPU pretraining, without a GPU.

    A batch that cannot be divided among the GPUs, or a model that does not fit, is an error. Above 85 % of
    the memory, a warning states the largest micro-batch below it.

    Example: perceptinit estimate pi_clip_yfcc --world 8 --world 64
    """
    from perceptinit.companion import load_recipe
    from perceptinit_estimate.dry_run import dry_runs, table

    runs = dry_runs(load_recipe(recipe, set_ or ()), world or [1], memory)
    for line in (*table(runs), *(f"warning: {text}" for run in runs for text in run.warnings())):
        typer.echo(line)
