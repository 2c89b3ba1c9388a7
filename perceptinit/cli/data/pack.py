"""`perceptinit data pack`: images with captions or labels into shards or a test set."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from perceptinit.packing.pack import Packed, PackSettings
    from perceptinit.packing.sources import Source


def _column(text: str) -> Any:
    return typer.Option(help=text, rich_help_panel="Columns of a table")


def _classes(text: str) -> Any:
    return typer.Option(help=text, rich_help_panel="Class names and prompts")


def _images(text: str, **bounds: Any) -> Any:
    return typer.Option(help=text, rich_help_panel="Images", **bounds)


def pack(
    source: Annotated[Path, typer.Argument(help="Folder of images, .csv, .tsv or .parquet file.")],
    out: Annotated[Path, typer.Argument(help="Folder to write: new, or of the same packing.")],
    test_set: Annotated[
        bool, typer.Option("--test-set", help="A zero-shot test set in clip-benchmark's layout.")
    ] = False,
    shard_size: Annotated[int, typer.Option(min=1, help="Records in a shard.")] = 10_000,
    limit: Annotated[int, typer.Option(min=0, help="Only the first records; 0: all.")] = 0,
    workers: Annotated[
        int, typer.Option(min=0, help="Shards written at a time; 0: one a core, 8 at most.")
    ] = 0,
    part: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Pack the I-th of N parts only; without it, once all are done: what is missing, and the index.",
        ),
    ] = None,
    image_column: Annotated[str, _column("Image bytes or paths.")] = "image",
    text_column: Annotated[
        str | None, _column("Captions (default: caption, unless labels are named).")
    ] = None,
    label_column: Annotated[str | None, _column("Labels: numbers from 0.")] = None,
    class_column: Annotated[str | None, _column("Class names.")] = None,
    root: Annotated[Path | None, _column("Folder of image paths (default: the table's).")] = None,
    separator: Annotated[str, _column("Character between the columns of a .csv.")] = ",",
    classes: Annotated[Path | None, _classes("File: line k names label k, from 0.")] = None,
    template: Annotated[
        list[str] | None,
        _classes('A prompt, "a photo of a {c}."; may be repeated. Pair shards: captions.'),
    ] = None,
    templates: Annotated[Path | None, _classes("File of prompts, one a line.")] = None,
    resize: Annotated[int, _images("Largest shorter side, pixels; 0: keep all bytes.", min=0)] = 0,
    quality: Annotated[int, _images("JPEG quality after --resize.", min=1, max=100)] = 95,
    max_bad_share: Annotated[
        float | None,
        _images("Share that may be unreadable (default: 0.01; test set: 0).", min=0, max=1),
    ] = None,
) -> None:
    """Pack images with captions or labels into webdataset shards or a zero-shot test set.

    SOURCE is a CSV or Parquet table, a folder with a caption (7.txt) beside each image (7.jpg), or a
    folder of class folders. Each image is decoded once to see that it can be; its bytes are kept.
    What cannot be read is listed in unreadable.txt. The same command goes on after an interruption.

    Several machines may share the work, in one folder: each packs parts (--part 3/64), at the same time or not. The
    same command without --part then packs what is missing and writes the index; the files are those of one machine.

    Example: perceptinit data pack pairs.parquet shards --text-column caption

    Example: perceptinit data pack pairs.parquet shards --part 3/64

    Example: perceptinit data pack photos test --test-set --template "a photo of a {c}."
    """
    from perceptinit.errors import UsageError
    from perceptinit.packing.pack import PackSettings
    from perceptinit.packing.parts import Part
    from perceptinit.packing.shards import ImageSettings
    from perceptinit.packing.sources import Columns, open_source

    if test_set and text_column is not None:
        raise UsageError("--text-column: a test set has labels, no captions")
    if len(separator) != 1:
        raise UsageError(f"--separator: one character, got {separator!r}")
    labelled = test_set or label_column is not None or class_column is not None
    columns = Columns(
        image=image_column,
        text=text_column if labelled or text_column else "caption",
        label=label_column,
        class_name=class_column,
        root=root,
        separator=separator,
    )
    settings = PackSettings(
        test_set=test_set,
        templates=(*(template or ()), *_lines(templates)),
        limit=limit,
        shard_size=shard_size,
        image=ImageSettings(resize=resize, quality=quality),
        max_bad_share=(0.0 if test_set else 0.01) if max_bad_share is None else max_bad_share,
        num_workers=workers or min(8, os.cpu_count() or 1),
        part=Part.parse(part) if part else None,
    )
    records = open_source(source, columns, _lines(classes), num_readers=settings.num_workers)
    _report(_pack_with_progress(records, out, settings), out, settings)


def _lines(path: Path | None) -> tuple[str, ...]:
    """Return the lines of a file that are not empty; UsageError when it cannot be read."""
    from perceptinit.errors import UsageError
    from perceptinit.files.reading import read_bytes

    if path is None:
        return ()
    try:
        lines = read_bytes(path).decode("utf-8").splitlines()
        return tuple(line for line in lines if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read ({error})") from error


def _pack_with_progress(source: Source, out: Path, settings: PackSettings) -> Packed:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from perceptinit.packing.pack import pack as pack_source
    from perceptinit.packing.pack import shards_of

    console = Console(stderr=True)
    total = sum(len(shard.rows) for shard in shards_of(source, settings))
    with Progress(
        TextColumn("packing"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task("packing", total=total)
        return pack_source(source, out, settings, lambda n: progress.advance(task, n))


def _report(packed: Packed, out: Path, settings: PackSettings) -> None:
    what = "test images" if settings.test_set else "samples"
    kept = f", {packed.kept} of them finished before" if packed.kept else ""
    size = packed.num_bytes / 1e6
    typer.echo(
        f"{out}: {packed.num_samples:,} {what} in {packed.num_shards} shards{kept} ({size:,.1f} MB)"
    )
    if settings.part:
        typer.echo(
            "The index is written by the same command without --part, once all parts are done."
        )
    if packed.unusable:
        where = "will be" if settings.part else "are"
        typer.echo(
            f"warning: {len(packed.unusable)} records could not be read and are left out; "
            f"they {where} listed in {out / 'unreadable.txt'}. The first: {packed.unusable[0]}",
            err=True,
        )
