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
    """Estimate the memory, FLOPs, traffic and duration of GPU pretraining, and the memory of stage 1.

    A batch that cannot be divided among the GPUs, or a model that does not fit, is an error. Above 85 % of
    the memory, a warning states the largest micro-batch below it.

    Example: perceptinit estimate pi_clip_yfcc --world 8 --world 64
    """
    from perceptinit.companion import load_recipe, resource_rows
    from perceptinit_estimate.dry_run import dry_runs, table

    loaded = load_recipe(recipe, set_ or ())
    runs = dry_runs(loaded, world or [1], memory)
    for line in (*table(runs), *(f"warning: {text}" for run in runs for text in run.warnings())):
        typer.echo(line)
    for title, _, _, needed, limits, *_ in resource_rows(loaded, has_gpu=True):
        if limits and not title.startswith("pretrain "):
            typer.echo(f"{title}: {needed} on one GPU. micro_batch for 24, 40, 80 GB: {limits}")
