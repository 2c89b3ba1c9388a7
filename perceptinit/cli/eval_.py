"""`perceptinit eval`: measure models that exist, several at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from perceptinit.cli.options import Device


def eval_(
    ctx: typer.Context,
    models: Annotated[
        list[str],
        typer.Argument(
            help="Folders of runs; .safetensors files or folders of them; open-clip:MODEL[:TAG or FILE]; "
            "timm:MODEL[:TAG or FILE] (image-only measures)."
        ),
    ],
    recipe: Annotated[
        Path | None, typer.Option(help="Recipe whose `eval` tables say what to measure.")
    ] = None,
    suite: Annotated[
        str, typer.Option(help="Test sets of a suite: paper29, paper29-script, datacomp32, smoke.")
    ] = "",
    sets: Annotated[
        list[str] | None, typer.Option(help="A test set, with labels or captions; may be repeated.")
    ] = None,
    root: Annotated[str, typer.Option(help="Folder of the test sets.")] = "",
    missing: Annotated[str, typer.Option(help="Absent sets of a suite: error, or skip.")] = "error",
    judgments: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[=ROOT]", help="Human judgments, for 2AFC; may be repeated."),
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="Architecture of checkpoints: RECIPE or open-clip:MODEL.")
    ] = None,
    weights: Annotated[
        str, typer.Option(help="Which weights of runs: final, init, pretrain or all.")
    ] = "final",
    precision: Annotated[
        str, typer.Option(help="fp32 (the reference), bf16 or fp16; for --suite and --sets.")
    ] = "fp32",
    batch_size: Annotated[int, typer.Option(min=1, help="For --suite and --sets.")] = 256,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Threads that decode images; by default the cores.")
    ] = None,
    at_once: Annotated[int, typer.Option(min=1, help="Models in memory at a time.")] = 8,
    device: Device = "auto",
    cache: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Keep zero-shot classifiers between calls.")
    ] = True,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV, unrounded.")] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print JSON, with what belongs in a record.")
    ] = False,
) -> None:
    """Measure models: zero-shot, retrieval, human judgments, representation; a table with families.

    Runs are measured as their own recipe says unless --recipe, --suite, --sets or --judgments is
    given. Each set is decoded once for all models. Under torchrun the images are shared out.
    Exit code 1 when a set or a model got no score.

    Example: perceptinit eval runs/quickstart --weights all

    Example: perceptinit eval open-clip:ViT-B-32:weights.safetensors --suite paper29 --root data/eval
    """
    from perceptinit.errors import UsageError
    from perceptinit.evaluating.request import Request, evaluate

    if csv and json:
        raise UsageError("--csv and --json: choose one format")
    request = Request(
        models=tuple(models),
        recipe=recipe,
        suite=suite,
        sets=tuple(sets or ()),
        root=root,
        missing=missing,
        judgments=tuple(judgments or ()),
        backbone=backbone,
        weights=weights,
        precision=precision,
        batch_size=batch_size,
        workers=workers,
        at_once=at_once,
        device=device,
        cache=cache,
    )
    outcome = evaluate(
        request, ctx.obj.registry, lambda text: typer.echo(f"warning: {text}", err=True)
    )
    if outcome.is_first_process:
        typer.echo(outcome.text("csv" if csv else "json" if json else "table"), nl=False)
    if outcome.problems:
        raise typer.Exit(1)
