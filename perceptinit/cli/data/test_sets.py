"""Test sets in `perceptinit data list` and `check`: files on disk, and images that cannot be decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from perceptinit.cli.common import new_console, new_table
from perceptinit.errors import DataError, UsageError, without_credentials

if TYPE_CHECKING:
    from perceptinit.evaluating.asked import Asked
    from perceptinit.test_sets.inventory import SetState

COLOURS = {"complete": "green", "built in": "green", "partial": "yellow", "wrong": "red"}


def print_test_sets(asked: Asked) -> tuple[list[SetState], str]:
    """Print the states of a test set, or of those of a suite, and return them with the folder."""
    from rich.markup import escape

    from perceptinit.evaluating.asked import read_set
    from perceptinit.test_sets.inventory import find_state
    from perceptinit.test_sets.sets import members

    name, keys = read_set(asked)
    root = keys.pop("root")
    if keys:
        raise UsageError(f"{asked.text}: the only key is root, the folder of the sets")
    states = [find_state(each, root) for each in members(name)]
    console = new_console()
    numbers = ("classes", "images", "chance", "on disk")
    headings = ("set", "family", "main measure", *numbers, "state")
    console.print(new_table(headings, map(_describe, states), right=numbers))
    for state in states:
        if state.note:
            console.print(f"{escape(without_credentials(state.name))}: {escape(state.note)}", soft_wrap=True)
    present = [s for s in states if s.state in ("complete", "built in")]
    size = sum(s.num_bytes for s in states)
    console.print(f"{len(present)} of {len(states)} sets are complete; {size / 1e9:,.2f} GB on disk")
    return states, root


def check_test_sets(asked: Asked, *, decode: bool) -> bool:
    """Print states and, with `decode`, decoding errors. Return whether all sets are valid."""
    states, root = print_test_sets(asked)
    is_good = not any(s.state in ("missing", "wrong", "partial") for s in states)
    for state in states:
        if decode and state.state in ("complete", "partial"):
            is_good &= _decode_all(state.name, root)
    return is_good


def _describe(s: SetState) -> tuple[str, ...]:
    """Return the cells of a test set."""
    known = s.known
    colour = COLOURS.get(s.state, "dim")
    return (
        without_credentials(s.name),
        known.family if known else "",
        known.main if known else "",
        _number(s.num_classes or (known.num_classes if known else None)),
        _number(s.num_images or (known.num_images if known else None)),
        f"{known.chance:.4f}" if known and known.chance else "",
        f"{s.num_bytes / 1e6:,.1f} MB" if s.num_bytes else "",
        f"[{colour}]{s.state}[/{colour}]",
    )


def _number(value: int | None) -> str:
    return f"{value:,}" if value else ""


def _decode_all(name: str, root: str) -> bool:
    """Decode every image of a set, print the errors, and return whether all images were decoded."""
    from perceptinit.images.background import cropped_share, describe_crops, transparent_share
    from perceptinit.images.decoding import decode_with_alpha
    from perceptinit.test_sets.inventory import choose_set

    test_set = choose_set(name, root).read(name)
    bad = 0
    num_transparent = 0
    cut = list[float]()
    for image, key in zip(test_set.images, test_set.keys, strict=True):
        try:
            pixels = decode_with_alpha(image, key)
            num_transparent += transparent_share(pixels) > 0
            cut.append(cropped_share(pixels))
        except DataError as error:
            bad += 1
            typer.echo(f"error {error}")
    shown = without_credentials(name)
    typer.echo(f"{shown}: {len(test_set.images) - bad:,} images decoded, {bad:,} failed")
    if num_transparent:
        typer.echo(
            f"{shown}: {num_transparent:,} images have transparent parts; alpha is dropped, as in "
            "published suites"
        )
    if crops := describe_crops(cut):
        typer.echo(f"{shown}: {crops}")
    return bad == 0
