"""`perceptinit eval`: evaluate existing models together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from perceptinit.cli.common import (
    Csv,
    Device,
    Json,
    Texts,
    Workers,
    choose_format,
    new_console,
    new_table,
    print_warnings,
)
from perceptinit.errors import UsageError

if TYPE_CHECKING:
    from perceptinit.evaluating.request import Evaluation


def eval_(
    ctx: typer.Context,
    models: Annotated[
        list[str],
        typer.Argument(
            help="Folders of runs, of exports or of transformers; .safetensors files or folders of them; "
            "open-clip:MODEL[:TAG or FILE]; timm:MODEL[:TAG or FILE]; package.module:function; embeddings "
            "(.parquet, or .npy with .txt; with --on)."
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
    on: Annotated[
        Texts,
        typer.Option(
            metavar="JUDGMENTS[,KEY=VALUE...]",
            help="Human judgments: a table, a matrix or a name, with its keys; may be repeated.",
        ),
    ] = None,
    images: Annotated[str, typer.Option(help="With --on: folder of the images.")] = "",
    split: Annotated[str, typer.Option(help="With --on: train, val or test. [default: all judgments]")] = "",
    fit: Annotated[
        Literal["center-crop", "squash", "pad"] | None,
        typer.Option(help="With --on: how images are made square. [default: of the model]"),
    ] = None,
    layer: Annotated[
        Texts, typer.Option(help="With --on: a layer such as blocks.6, or all; may be repeated.")
    ] = None,
    pooling: Annotated[
        Literal["class", "mean"] | None, typer.Option(help="With --layer: class token or mean over patches.")
    ] = None,
    baseline: Annotated[
        str, typer.Option(help="With --on: model with which the others are compared. [default: the best]")
    ] = "",
    html: Annotated[Path | None, typer.Option(help="With --on: write a page with figures.")] = None,
    backbone: Annotated[
        str | None, typer.Option(help="Model for the checkpoints: RECIPE, open-clip:MODEL or timm:MODEL.")
    ] = None,
    weights: Annotated[str, typer.Option(help="Weights of runs: final, init, pretrain or all.")] = "final",
    workers: Workers = None,
    at_once: Annotated[int, typer.Option(min=1, help="Maximum number of models in memory.")] = 8,
    device: Device = "auto",
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Do not cache classifiers and embeddings.")
    ] = False,
    csv: Csv = False,
    json: Json = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="Print a LaTeX table.")] = False,
) -> None:
    """Evaluate models: zero-shot, retrieval, human judgments and nearest neighbors.

    By default, runs are evaluated with their own recipe; --recipe, --suite and --sets replace it. Each set is
    decoded once for all models. With torchrun, each process encodes a part of the images. --on compares
    models on human judgments, with intervals, ceilings and trivial models. Exit code 1: a set or a model has
    no score.

    Example: perceptinit eval timm:resnet50:a1_in1k model.parquet --on judgments.csv --images photographs

    Example: perceptinit eval runs/quickstart --weights all

    Example: perceptinit eval open-clip:ViT-B-32:weights.safetensors --suite paper29 --root data/eval
    """
    from perceptinit.evaluating.evaluate import evaluate
    from perceptinit.evaluating.request import Request

    form = choose_format(csv=csv, json=json, markdown=markdown, latex=latex)
    request = Request(
        models=tuple(models),
        recipe=recipe,
        suite=suite,
        sets=tuple(sets or ()),
        root=root,
        settings=tuple(set_ or ()),
        on=tuple(on or ()),
        images=images,
        split=split,
        fit=fit,
        layers=tuple(layer or ()),
        pooling=pooling,
        baseline=baseline,
        backbone=backbone,
        weights=weights,
        workers=workers,
        at_once=at_once,
        device=device,
        cache=not no_cache,
    )
    if not on and any((images, split, fit, layer, pooling, baseline, html)):
        raise UsageError("--images, --split, --fit, --layer, --pooling, --baseline and --html require --on")
    found = evaluate(request, ctx.obj.registry, lambda text: print_warnings([text]))
    if not found.session.joint.rank:
        _print(found, form)
        if html:
            from perceptinit.evaluating.agreement_table import write_agreement

            write_agreement(found, html)
    if found.session.problems:
        raise typer.Exit(1)


def _print(found: Evaluation, form: str) -> None:
    if form != "table":
        typer.echo(found.text(form), nl=False)
        return
    console = new_console(markup=False)
    for headings, rows, num_texts in found.tables:
        console.print(new_table(headings, rows, right=headings[num_texts:]), "")
    console.print("\n".join(found.notes))
