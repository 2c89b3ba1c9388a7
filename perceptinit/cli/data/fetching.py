"""Data that are needed: a table with sizes and licences, then fetching what is absent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from perceptinit.cli.data import pairs
from perceptinit.cli.terminal import new_console, new_table, print_warnings
from perceptinit.errors import DataError, UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from perceptinit.types import DataNeed

NUM_WORKERS = 4  # files fetched at a time


def fetch_needs(needs: Sequence[DataNeed], *, dry_run: bool = False, must_fetch: bool = False) -> bool:
    """Print what is needed, fetch what is absent and public, and print how to get the rest.

    Returns:
        Whether nothing is left to be got by hand.

    Raises:
        DataError: At the end, with every set that failed; with `must_fetch` also those that have no public copy.
    """
    found = list(_with_sizes(needs))
    console = new_console()
    console.print(_table(found))
    console.print(_total(found), soft_wrap=True)
    failures = [] if dry_run else _fetch(found)
    by_hand = [need for need in found if need.problems and not need.fetch]
    for need in by_hand:
        text = f"{need.kind} {need.name}, into {need.place}: {_how(need)}"
        if must_fetch and not dry_run:
            failures.append(f"{text} (no public copy is known)")
        else:
            typer.echo(f"\n{text}")
    if failures:
        raise DataError("\n".join(failures))
    return not by_hand


def _with_sizes(needs: Sequence[DataNeed]) -> Iterator[DataNeed]:
    """Yield the needs, with size and licence of absent ones as long as their source answers."""
    can_ask = True
    for need in needs:
        if can_ask and need.problems and need.ask:
            try:
                num_bytes, licence = need.ask()
                need = replace(need, num_bytes=num_bytes, licence=licence)
            except DataError as error:
                print_warnings([f"{error}; no more are asked for"])
                can_ask = False
        yield need


def _fetch(found: Sequence[DataNeed]) -> list[str]:
    """Fetch what is absent, one set after the other; return what failed."""
    from perceptinit.progress import Bars

    failures = []
    with Bars(counts_bytes=True) as bars:
        for need in found:
            if need.problems and need.fetch:
                try:
                    need.fetch(NUM_WORKERS, bars.update)
                    typer.echo(f"{need.name}: fetched into {need.place}")
                except (DataError, UsageError) as error:
                    failures.append(f"{need.name}: {error}")
    return failures


def _table(found: Sequence[DataNeed]) -> Table:
    from rich.markup import escape

    table = new_table(("data", "name", "folder", "size", "licence", "state"), right=["size"])
    for need in found:
        size = f"{need.num_bytes / 1e9:,.2f} GB" if need.num_bytes else "not stated"
        licence = need.licence or "not stated"
        row = (need.kind, need.name, need.place, size, licence, _state(need))
        table.add_row(*map(escape, row))
    return table


def _state(need: DataNeed) -> str:
    return "there" if not need.problems else "to be fetched" if need.fetch else "yours to get"


def _total(found: Sequence[DataNeed]) -> str:
    absent = [need for need in found if need.problems]
    known = [need.num_bytes for need in absent if need.num_bytes]
    num_unknown = len(absent) - len(known)
    unknown = f", and {num_unknown} whose size is not stated" if num_unknown else ""
    return (
        f"{len(absent)} of {len(found)} are absent: {sum(known) / 1e9:,.2f} GB in {len(known)}{unknown}. "
        "By fetching you accept the licences."
    )


def _how(need: DataNeed) -> str:
    return pairs.card(need.name) if need.kind == "pairs" and pairs.is_pairs(need.name) else need.how
