"""Test sets in `perceptinit data list`, `check` and `download`: what is there, and getting the rest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from perceptinit.errors import without_credentials

if TYPE_CHECKING:
    from rich.table import Table

    from perceptinit.test_sets.inventory import SetState

COLOURS = {"complete": "green", "built in": "green", "partial": "yellow", "wrong": "red"}


def list_test_sets(target: str, root: str) -> list[SetState]:
    """Print the sets of a suite (or one set) with what is on disk under `root`; return their states.

    A folder in the layout of test sets is looked at where it is, whatever `root`.
    """
    return _list(*_placed(target, root))


def _placed(target: str, root: str) -> tuple[str, str]:
    """Return the name of a target, and the folder that it is in."""
    from perceptinit.test_sets.suite import is_set_folder

    place = Path(target).resolve()
    return (place.name, str(place.parent)) if is_set_folder(target) else (target, root)


def _list(target: str, root: str) -> list[SetState]:
    from rich.console import Console
    from rich.markup import escape

    from perceptinit.test_sets.inventory import inventory
    from perceptinit.test_sets.suite import members

    states = list(inventory(members(target), root))
    console = Console(highlight=False)
    console.print(_table(states))
    for state in states:
        if state.note:
            console.print(
                f"{escape(without_credentials(state.name))}: {escape(state.note)}", soft_wrap=True
            )
    present = [s for s in states if s.state in ("complete", "built in")]
    size = sum(s.num_bytes for s in states)
    console.print(
        f"{len(present)} of {len(states)} sets are complete; {size / 1e9:,.2f} GB on disk"
    )
    return states


def _table(states: list[SetState]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("set", "family", "main measure"):
        table.add_column(heading, overflow="fold")
    for heading in ("classes", "images", "chance", "on disk"):
        table.add_column(heading, justify="right")
    table.add_column("state")
    for s in states:
        known = s.known
        colour = COLOURS.get(s.state, "dim")
        table.add_row(
            without_credentials(s.name),
            known.family if known else "",
            known.main if known else "",
            _number(s.num_classes or (known.num_classes if known else None)),
            _number(s.num_images or (known.num_images if known else None)),
            f"{known.chance:.4f}" if known and known.chance else "",
            f"{s.num_bytes / 1e6:,.1f} MB" if s.num_bytes else "",
            f"[{colour}]{s.state}[/{colour}]",
        )
    return table


def _number(value: int | None) -> str:
    return f"{value:,}" if value else ""


def check_test_sets(target: str, root: str, decode: bool) -> None:
    """Print the sets' states and, with `decode`, the images that cannot be decoded; exit code 1 for any.

    A folder in the layout of test sets is looked at where it is, whatever `root`.
    """
    target, root = _placed(target, root)
    states = _list(target, root)
    is_bad = any(s.state in ("missing", "wrong", "partial") for s in states)
    if decode:
        for state in states:
            if state.state in ("complete", "partial"):
                is_bad |= _decode_all(state.name, root)
    if is_bad:
        raise typer.Exit(1)


def _decode_all(name: str, root: str) -> bool:
    """Decode every image of a set; print those that cannot be, and tell whether there are any."""
    from perceptinit.errors import DataError
    from perceptinit.images.background import transparent_share
    from perceptinit.images.decoding import decode_with_alpha
    from perceptinit.test_sets.inventory import open_set

    test_set, bad, see_through = open_set(name, root), 0, 0
    for image, key in zip(test_set.images, test_set.keys, strict=True):
        try:
            see_through += transparent_share(decode_with_alpha(image, key)) > 0
        except DataError as error:
            bad += 1
            typer.echo(f"error {error}")
    said = without_credentials(name)
    typer.echo(f"{said}: {len(test_set.images) - bad:,} images decoded, {bad:,} cannot be")
    if see_through:
        typer.echo(
            f"{said}: {see_through:,} images have transparent parts; alpha is dropped, as the suites "
            "that scores are compared with do"
        )
    return bad > 0


def download_test_sets(target: str, root: Path, workers: int, dry_run: bool) -> None:
    """Fetch the sets of a suite (or one set) that are not complete; the others are kept.

    Raises DataError at the end with every set that failed.
    """
    from perceptinit.errors import DataError
    from perceptinit.test_sets.hub import fetch_known
    from perceptinit.test_sets.inventory import inventory
    from perceptinit.test_sets.suite import members

    failures = []
    for state in inventory(members(target), str(root)):
        if state.state in ("complete", "built in") or state.known is None:
            typer.echo(f"{state.name}: {state.state}")
            continue
        hub = ", ".join(state.known.hub) or "no public copy"
        if dry_run:
            typer.echo(f"{state.name}: {state.state}; {hub}")
            continue
        try:
            folder = fetch_known(state.known, root, workers)
            typer.echo(f"{state.name}: fetched into {folder}")
        except DataError as error:
            failures.append(f"{state.name}: {error}")
    if failures:
        raise DataError("\n".join(failures))
