"""Files of prompts and class names that `perceptinit data pack` reads, and the summary that it prints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from perceptinit.plugin import UsageError, read_bytes

if TYPE_CHECKING:
    from perceptinit_packing.pack import Packed, PackSettings


def read_templates(given: Sequence[str]) -> tuple[str, ...]:
    """Return the prompts; an entry that is a file and has no `{c}` is replaced by its lines."""
    found: list[str] = []
    for text in given:
        found += read_lines(Path(text)) if "{" not in text and Path(text).is_file() else [text]
    return tuple(found)


def read_lines(path: Path) -> tuple[str, ...]:
    """Return the non-empty lines of a file; UsageError when it cannot be read."""
    try:
        lines = read_bytes(path).decode("utf-8").splitlines()
        return tuple(line for line in lines if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read ({error})") from error


def print_packed(packed: Packed, out: Path, settings: PackSettings) -> None:
    """Print the size of the packing, the next step, and the unreadable records."""
    what = "test images" if settings.test_set else "samples"
    kept = f", {packed.kept} of them finished before" if packed.kept else ""
    size = packed.num_bytes / 1e6
    typer.echo(f"{out}: {packed.num_samples:,} {what} in {packed.num_shards} shards{kept} ({size:,.1f} MB)")
    if settings.part:
        typer.echo("Once all parts are done, run the same command without --part to write the index.")
    if packed.unusable:
        where = "will be" if settings.part else "are"
        typer.echo(
            f"warning: {len(packed.unusable)} unreadable records are left out; they {where} listed in "
            f"{out / 'unreadable.txt'}. The first: {packed.unusable[0]}",
            err=True,
        )
