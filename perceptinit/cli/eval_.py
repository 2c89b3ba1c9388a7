"""`perceptinit eval`: evaluate existing models together."""

from pathlib import Path
from typing import Annotated

import typer

from perceptinit.cli.options import Csv, Device, Json, Texts, Workers, choose_format
from perceptinit.cli.terminal import print_warnings


def eval_(
    ctx: typer.Context,
    models: Annotated[
        list[str],
        typer.Argument(
            help="Folders of runs; .safetensors files or folders of them; open-clip:MODEL[:TAG or FILE]; "
            "timm:MODEL[:TAG or FILE] (image measures only)."
        ),
    ],
    recipe: Annotated[Path | None, typer.Option(help="Recipe whose `eval` tables are used.")] = None,
    suite: Annotated[str, typer.Option(help="Test sets: paper29, paper29-script, datacomp32 or smoke.")] = "",
    sets: Annotated[Texts, typer.Option(help="Test set with labels or captions; may be repeated.")] = None,
    root: Annotated[str, typer.Option(help="Folder of the test sets.")] = "",
    set_: Annotated[
        Texts,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="With --suite or --sets: set a key of zero-shot and retrieval, such as precision=bf16, "
            "batch_size=64 or missing=skip; may be repeated.",
        ),
    ] = None,
    judgments: Annotated[
        Texts, typer.Option(metavar="NAME[=ROOT]", help="Human judgments for 2AFC; may be repeated.")
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="Model for the checkpoints: RECIPE, open-clip:MODEL or timm:MODEL.")
    ] = None,
    weights: Annotated[str, typer.Option(help="Weights of runs: final, init, pretrain or all.")] = "final",
    workers: Workers = None,
    at_once: Annotated[int, typer.Option(min=1, help="Number of models in memory at a time.")] = 8,
    device: Device = "auto",
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Do not cache zero-shot classifiers.")] = False,
    csv: Csv = False,
    json: Json = False,
) -> None:
    """Evaluate models: zero-shot, retrieval, human judgments and nearest neighbors.

    By default, runs are evaluated with their own recipe; --recipe, --suite, --sets and --judgments replace
    it. Each set is decoded once for all models. With torchrun, each process encodes a part of the images.
    Exit code 1: a set or a model has no score.

    Example: perceptinit eval runs/quickstart --weights all

    Example: perceptinit eval open-clip:ViT-B-32:weights.safetensors --suite paper29 --root data/eval
    """
    from perceptinit.evaluating.request import Request, evaluate

    form = choose_format(csv=csv, json=json)
    request = Request(
        models=tuple(models),
        recipe=recipe,
        suite=suite,
        sets=tuple(sets or ()),
        root=root,
        settings=tuple(set_ or ()),
        judgments=tuple(judgments or ()),
        backbone=backbone,
        weights=weights,
        workers=workers,
        at_once=at_once,
        device=device,
        cache=not no_cache,
    )
    evaluation = evaluate(request, ctx.obj.registry, lambda text: print_warnings([text]))
    if evaluation.is_first_process:
        typer.echo(evaluation.text(form), nl=False)
    if evaluation.problems:
        raise typer.Exit(1)
