"""Read the prompt and class-name files of `perceptinit data pack`, and print its summary."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from perceptinit.plugin import UsageError, read_bytes

if TYPE_CHECKING:
    from perceptinit_packing.pack import Packed, PackSettings


def read_templates(given: Sequence[str]) -> tuple[str, ...]:
    """Return the prompts; an entry without braces that names a file is replaced by the file's lines."""
    found: list[str] = []
    for text in given:
        found += read_lines(Path(text)) if "{" not in text and Path(text).is_file() else [text]
    return tuple(found)


def read_lines(path: Path) -> tuple[str, ...]:
    """Return the non-empty lines of a file; UsageError if it cannot be read."""
    try:
        lines = read_bytes(path).decode("utf-8").splitlines()
        return tuple(line for line in lines if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read ({error})") from error


def print_packed(packed: Packed, out: Path, settings: PackSettings) -> None:
    """Print the size of the packed dataset, the next step and a warning about unreadable records."""
    what = "test images" if settings.test_set else "samples"
    kept = f", {packed.kept} of them finished earlier" if packed.kept else ""
    size = packed.num_bytes / 1e6
    typer.echo(f"{out}: {packed.num_samples:,} {what} in {packed.num_shards} shards{kept} ({size:,.1f} MB)")
    if settings.part:
        typer.echo("When all parts are finished, run the same command without --part to write the index.")
    if packed.unusable:
        where = "will be" if settings.part else "are"
        typer.echo(
            f"warning: {len(packed.unusable)} unreadable records were skipped and {where} listed in "
            f"{out / 'unreadable.txt'}. The first: {packed.unusable[0]}",
            err=True,
        )
