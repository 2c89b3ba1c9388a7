"""`perceptinit eval`: evaluate existing models together."""

from __future__ import annotations

import sys
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from perceptinit.cli.common import (
    All,
    Device,
    Format,
    Texts,
    Workers,
    print_warnings,
)

if TYPE_CHECKING:
    from perceptinit.evaluating.evaluate import Evaluation


def eval_(
    ctx: typer.Context,
    models: Annotated[
        list[str],
        typer.Argument(
            help="Folders of runs, of exports or of transformers; .safetensors files or folders of them; "
            "open-clip:MODEL[:TAG or FILE]; timm:MODEL[:TAG or FILE]; package.module:function; embeddings "
            "(.parquet, or .npy with .txt; for judgments)."
        ),
    ],
    on: Annotated[
        Texts,
        typer.Option(
            metavar="DATA[,KEY=VALUE...]",
            help="Human judgments (a table, a matrix or a name), a test set or suite, or a recipe with "
            "[[eval]], with its keys; may be repeated. [default: the recipe of each run]",
        ),
    ] = None,
    fit: Annotated[
        Literal["center-crop", "squash", "pad"] | None,
        typer.Option(help="For judgments: how images are made square. [default: of the model]"),
    ] = None,
    layer: Annotated[
        Texts, typer.Option(help="For judgments: a layer such as blocks.6, all or best; may be repeated.")
    ] = None,
    pooling: Annotated[
        Literal["class", "mean", "flat"] | None,
        typer.Option(help="With --layer: class token, mean over patches or all values."),
    ] = None,
    baseline: Annotated[
        str, typer.Option(help="Model with which the others are compared. [default: the best]")
    ] = "",
    backbone: Annotated[
        str, typer.Option(help="Model for the checkpoints: RECIPE, open-clip:MODEL or timm:MODEL.")
    ] = "",
    weights: Annotated[str, typer.Option(help="Weights of runs: final, init, pretrain or all.")] = "final",
    workers: Workers = None,
    at_once: Annotated[int, typer.Option(min=1, help="Maximum number of models in memory.")] = 8,
    device: Device = "auto",
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Do not cache classifiers and embeddings.")
    ] = False,
    thumbnails: Annotated[
        bool,
        typer.Option(
            "--thumbnails", help="With --format csv: add small copies of images of judgments for `report`."
        ),
    ] = False,
    format_: Format = None,
    all_: All = False,
) -> None:
    """Evaluate models: zero-shot, retrieval, human judgments and nearest neighbors.

    By default, runs are evaluated with their own recipe; --on replaces it. Each set is decoded once for all
    models. With torchrun, each process encodes a part of the images. Models are compared over images and
    people; runs of a recipe are arms with seeds. `compare` and `report` read the output of --format csv. Keys
    follow the data: root and precision of test sets, images and split of judgments, and all others of
    `perceptinit show`. Exit code 1: a set or a model has no score.

    Example: perceptinit eval timm:resnet50:a1_in1k model.parquet --on judgments.csv,images=photographs

    Example: perceptinit eval runs/quickstart --weights all

    Example: perceptinit eval open-clip:ViT-B-32:weights.safetensors --on paper29,root=data/eval
    """
    from perceptinit.components.output import divert_output
    from perceptinit.evaluating.evaluate import evaluate
    from perceptinit.evaluating.request import Request

    request = Request(**{each.name: ctx.params[each.name] for each in fields(Request)})
    with divert_output(sys.stderr, 2):  # models and plug-ins may print
        found = evaluate(request, ctx.obj.registry, lambda text: print_warnings([text]))
    if not found.session.joint.rank and found.runs.runs:
        _print(found, format_, all_)
    if found.session.problems or not found.runs.runs:
        raise typer.Exit(1)


def _print(found: Evaluation, form: str | None, is_whole: bool) -> None:
    """Print the comparison of the models or, as CSV, their scores, which `compare` reads."""
    from perceptinit.analysis.compare import compare
    from perceptinit.cli.compare import print_comparison
    from perceptinit.reports.formats import json_table, runs_table
    from perceptinit.verdict.headline import Judged

    if form == "csv":
        typer.echo(runs_table(found.runs), nl=False)
        return
    judged = Judged.of(compare(found.runs))
    if form == "json":
        typer.echo(json_table(judged, judged.comparison.all_scores, describe(found)), nl=False)
    else:
        print_comparison(judged, form, is_whole=is_whole)


def describe(found: Evaluation) -> dict[str, Any]:
    """Return what JSON adds to the comparison: scores with all details, and the environment."""
    from perceptinit.results.record import environment, plain

    rows = [{"arm": run.arm, "seed": run.seed, **row} for run in found.runs.runs for row in run.scores]
    more = {
        "measured": rows,
        "left_out": found.session.problems,
        "environment": environment(found.session.device),
    }
    return dict(plain(more))
