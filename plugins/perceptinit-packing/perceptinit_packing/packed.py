"""What `perceptinit data pack` reads beside its source, and what it prints at the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from perceptinit.plugin import UsageError, read_bytes

if TYPE_CHECKING:
    from perceptinit_packing.pack import Packed, PackSettings


def read_templates(given: Sequence[str]) -> tuple[str, ...]:
    """Return the prompts: an entry without the class `{c}` that is a file stands for its lines."""
    found: list[str] = []
    for text in given:
        found += read_lines(Path(text)) if "{" not in text and Path(text).is_file() else [text]
    return tuple(found)


def read_lines(path: Path) -> tuple[str, ...]:
    """Return the lines of a file that are not empty; UsageError when it cannot be read."""
    try:
        lines = read_bytes(path).decode("utf-8").splitlines()
        return tuple(line for line in lines if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read ({error})") from error


def print_packed(packed: Packed, out: Path, settings: PackSettings) -> None:
    """Print how much was packed, what comes next, and what could not be read."""
    what = "test images" if settings.test_set else "samples"
    kept = f", {packed.kept} of them finished before" if packed.kept else ""
    size = packed.num_bytes / 1e6
    typer.echo(f"{out}: {packed.num_samples:,} {what} in {packed.num_shards} shards{kept} ({size:,.1f} MB)")
    if settings.part:
        typer.echo("The index is written by the same command without --part, once all parts are done.")
    if packed.unusable:
        where = "will be" if settings.part else "are"
        typer.echo(
            f"warning: {len(packed.unusable)} records could not be read and are left out; they {where} listed in "
            f"{out / 'unreadable.txt'}. The first: {packed.unusable[0]}",
            err=True,
        )
