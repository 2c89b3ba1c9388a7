"""`perceptinit data pack`: pack images with captions or labels into shards or a test set."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from perceptinit.plugin import UsageError


def _column(text: str) -> Any:
    return typer.Option(help=text, rich_help_panel="Columns of a table")


def pack(
    source: Annotated[Path, typer.Argument(help="Folder of images, or a .csv, .tsv or .parquet file.")],
    out: Annotated[Path, typer.Argument(help="Output folder: new, or left by an interrupted call.")],
    test_set: Annotated[
        bool, typer.Option("--test-set", help="Write a zero-shot test set in clip-benchmark's layout.")
    ] = False,
    shard_size: Annotated[int, typer.Option(min=1, help="Records per shard.")] = 10_000,
    workers: Annotated[
        int, typer.Option(min=0, help="Shards written in parallel; 0: one per core, at most 8.")
    ] = 0,
    part: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Pack part I of N. At the end, run without --part to write missing shards and the index.",
        ),
    ] = None,
    image_column: Annotated[str, _column("Image bytes or paths.")] = "image",
    text_column: Annotated[
        str | None, _column("Captions (default: caption, unless there are labels).")
    ] = None,
    label_column: Annotated[str | None, _column("Labels: integers from 0.")] = None,
    class_column: Annotated[str | None, _column("Class names.")] = None,
    root: Annotated[Path | None, _column("Folder of image paths (default: the table's folder).")] = None,
    classes: Annotated[
        Path | None, typer.Option(help="File of class names: line k is the name of label k, from 0.")
    ] = None,
    template: Annotated[
        list[str] | None,
        typer.Option(
            help='Prompt such as "a photo of a {c}.", or a file with one prompt per line; repeatable. '
            "In pair shards, prompts become captions."
        ),
    ] = None,
    resize: Annotated[
        int, typer.Option(min=0, help="Limit for the shorter side in pixels; 0 keeps the original bytes.")
    ] = 0,
    max_bad_share: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Maximum share of unreadable records (default: 0.01; test set: 0)."),
    ] = None,
) -> None:
    """Pack images with captions or labels into webdataset shards or a zero-shot test set.

    SOURCE is a CSV or Parquet table, a folder with a caption (7.txt) for each image (7.jpg), or a folder of
    class folders. Each image is decoded once to verify it, and its bytes are copied. Unreadable records are
    listed in unreadable.txt. After an interruption, rerun the command to resume.

    Several machines can write to one folder, each with its own parts (--part 3/64), in any order. The same
    command without --part then packs missing shards and writes the index. The result is identical to that
    of one machine.

    Example: perceptinit data pack pairs.parquet shards --text-column caption

    Example: perceptinit data pack pairs.parquet shards --part 3/64

    Example: perceptinit data pack photos test --test-set --template "a photo of a {c}."
    """
    from perceptinit.plugin import Bars
    from perceptinit_packing.pack import PackSettings, pack as pack_source, shards_of
    from perceptinit_packing.packed import print_packed, read_lines, read_templates
    from perceptinit_packing.parts import Part
    from perceptinit_packing.shards import ImageSettings
    from perceptinit_packing.sources import Columns, open_source

    if test_set and text_column is not None:
        raise UsageError("--text-column: a test set has labels instead of captions. Remove the option")
    labelled = test_set or label_column is not None or class_column is not None
    columns = Columns(
        image=image_column,
        text=text_column if labelled or text_column else "caption",
        label=label_column,
        class_name=class_column,
        root=root,
    )
    settings = PackSettings(
        test_set=test_set,
        templates=read_templates(template or ()),
        shard_size=shard_size,
        image=ImageSettings(resize=resize),
        max_bad_share=(0.0 if test_set else 0.01) if max_bad_share is None else max_bad_share,
        num_workers=workers or min(8, os.cpu_count() or 1),
        part=Part.parse(part) if part else None,
    )
    names = read_lines(classes) if classes else ()
    records = open_source(source, columns, names, num_readers=settings.num_workers)
    total = sum(len(shard.rows) for shard in shards_of(records, settings))
    with Bars() as bars:
        packed = pack_source(records, out, settings, lambda count: bars.advance("packing", total, count))
    print_packed(packed, out, settings)
