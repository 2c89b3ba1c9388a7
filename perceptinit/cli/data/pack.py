"""`perceptinit data pack`: pack images with captions or labels into shards or a test set."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perceptinit.cli.common import Texts, parse_columns
from perceptinit.cli.options import PACKED
from perceptinit.progress import Bars

if TYPE_CHECKING:
    from perceptinit.pairs.packing import Packed


def pack(
    source: Annotated[Path, typer.Argument(help="Folder of images, or a .csv, .tsv or .parquet file.")],
    out: Annotated[Path, typer.Argument(help="Output folder: new, or left by an interrupted call.")],
    test_set: Annotated[
        bool, typer.Option("--test-set", help="Write a zero-shot test set in clip-benchmark's layout.")
    ] = False,
    shard_size: Annotated[int, typer.Option(min=1, help="Records per shard.")] = 10_000,
    workers: Annotated[
        int, typer.Option(min=0, help="Threads that decode images; 0: one per core, at most 8.")
    ] = 0,
    columns: Annotated[
        Texts,
        typer.Option(
            metavar="FIELD=COLUMN,...",
            help="Columns of a table: image (bytes or paths), text (captions), label (integers from 0), "
            "class (names). [default: image=image, and text=caption unless there are labels]",
        ),
    ] = None,
    root: Annotated[Path | None, typer.Option(help="Folder of image paths. [default: of the table]")] = None,
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

    Example: perceptinit data pack pairs.parquet shards --columns text=caption

    Example: perceptinit data pack photos test --test-set --template "a photo of a {c}."
    """
    from perceptinit.pairs.pack_sources import Columns, open_source
    from perceptinit.pairs.packing import PackSettings, pack as pack_source
    from perceptinit.test_sets.readers import read_lines

    named = parse_columns(columns or (), PACKED)
    is_labeled = test_set or not named.keys().isdisjoint(("label", "class"))
    sources = Columns(
        image=named.get("image", "image"),
        text=named.get("text", None if is_labeled else "caption"),
        label=named.get("label"),
        class_name=named.get("class"),
        root=root,
    )
    settings = PackSettings(
        test_set=test_set,
        templates=_read_templates(template or ()),
        shard_size=shard_size,
        resize=resize,
        max_bad_share=(0.0 if test_set else 0.01) if max_bad_share is None else max_bad_share,
        num_workers=workers or min(8, os.cpu_count() or 1),
    )
    records = open_source(source, sources, read_lines(classes) if classes else ())
    total = records.num_records
    with Bars() as bars:
        packed = pack_source(records, out, settings, lambda count: bars.advance("packing", total, count))
    _print_packed(packed, out, "test images" if test_set else "samples")


def _read_templates(given: Sequence[str]) -> tuple[str, ...]:
    """Return the prompts; an entry without braces that names a file is replaced by the file's lines."""
    from perceptinit.test_sets.readers import read_lines

    found: list[str] = []
    for text in given:
        found += read_lines(Path(text)) if "{" not in text and Path(text).is_file() else [text]
    return tuple(found)


def _print_packed(packed: Packed, out: Path, what: str) -> None:
    """Print the size of the packed dataset, and a warning about unreadable records."""
    megabytes = sum((out / name).stat().st_size for name in packed.counts) / 1e6
    kept = f", {packed.num_kept} of them finished earlier" if packed.num_kept else ""
    num_samples = sum(packed.counts.values())
    typer.echo(f"{out}: {num_samples:,} {what} in {len(packed.counts)} shards{kept} ({megabytes:,.1f} MB)")
    if packed.unreadable:
        typer.echo(
            f"warning: {len(packed.unreadable)} unreadable records were skipped and are listed in "
            f"{out / 'unreadable.txt'}. The first: {packed.unreadable[0]}",
            err=True,
        )
