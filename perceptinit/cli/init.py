"""`perceptinit init`: initialize a backbone and save its weights."""

from pathlib import Path
from typing import Annotated, Any

import typer

from perceptinit.cli.common import Device, Texts


def init(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option(help="Safetensors file to write.")],
    backbone: Annotated[
        str, typer.Argument(metavar="BACKBONE[:MODEL]", help="See perceptinit list backbone.")
    ] = "timm",
    initializer: Annotated[str, typer.Argument(help="See perceptinit list initializer.")] = "triplet-hinge",
    judgments: Annotated[
        str | None, typer.Option(help="Data set or table (.csv, .parquet). [default: nights]")
    ] = None,
    set_: Annotated[
        Texts, typer.Option("--set", metavar="PATH=VALUE", help="Override a key, such as init.epochs=8.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the random weights and of training.")] = 0,
    device: Device = "auto",
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Do not use the cache.")] = False,
) -> None:
    """Initialize the image tower of a backbone and save its weights, without a recipe.

    To load the file in a recipe, use initializer `checkpoint`. The weights equal those of a recipe with the
    same seed.

    Example: perceptinit init timm:vit_small_patch16_224 triplet-hinge --out vit_s.safetensors
    """
    from perceptinit.library.applying import initialize_backbone

    use, _, model = backbone.partition(":")
    chosen = {"use": use, "model": model} if model else {"use": use}
    tables: dict[str, Any] = {"backbone": chosen, "init": {}, "judgments": {}}
    report = initialize_backbone(
        ctx.obj.registry,
        tables,
        initializer=initializer,
        judgments=judgments,
        overrides=set_ or (),
        seed=seed,
        device=device,
        use_cache=not no_cache,
        output=out,
    )
    if "from_cache" in report.metrics:
        typer.echo("Loaded the weights from the cache.")
    typer.echo(f"{report}\n{out}: sha256 {report.sha256_after}")
