"""Download of required data: a table with sizes and licenses, then the missing files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from perceptinit.cli.terminal import new_console, new_table, print_warnings
from perceptinit.errors import DataError, UsageError
from perceptinit.progress import Bars

if TYPE_CHECKING:
    from rich.table import Table

    from perceptinit.types import DataNeed

NUM_WORKERS = 4  # parallel downloads


def fetch_needs(needs: Sequence[DataNeed], *, dry_run: bool = False, must_fetch: bool = False) -> bool:
    """Print a table of data, download missing data, and print instructions for data without a public copy.

    Returns:
        Whether all missing data has a public copy.

    Raises:
        DataError: If downloads failed or, with `must_fetch`, sets have no public copy. Lists all failures.
    """
    from perceptinit.cli.data.pairs import card, published_pairs

    found = list(_with_sizes(needs))
    console = new_console()
    console.print(_table(found))
    console.print(_total(found), soft_wrap=True)
    failures = [] if dry_run else _fetch(found)
    by_hand = [need for need in found if need.problems and not need.fetch]
    for need in by_hand:
        how = card(need.name) if need.kind == "pairs" and need.name in published_pairs() else need.how
        text = f"{need.kind} {need.name}, into {need.place}: {how}"
        if must_fetch and not dry_run:
            failures.append(f"{text} (no public copy is known)")
        else:
            typer.echo(f"\n{text}")
    if failures:
        raise DataError("\n".join(failures))
    return not by_hand


def _with_sizes(needs: Sequence[DataNeed]) -> Iterator[DataNeed]:
    """Yield the needs, with size and license of missing data. Stop requesting these after a failure."""
    can_ask = True
    for need in needs:
        if can_ask and need.problems and need.ask:
            try:
                num_bytes, licence = need.ask()
                need = replace(need, num_bytes=num_bytes, licence=licence)
            except DataError as error:
                print_warnings([f"{error}; the remaining sizes are not requested"])
                can_ask = False
        yield need


def _fetch(found: Sequence[DataNeed]) -> list[str]:
    """Download missing data; return the errors."""
    failures = []
    with Bars(counts_bytes=True) as bars:
        for need in found:
            if need.problems and need.fetch:
                try:
                    need.fetch(NUM_WORKERS, bars.update)
                    typer.echo(f"{need.name}: downloaded to {need.place}")
                except (DataError, UsageError) as error:
                    failures.append(f"{need.name}: {error}")
    return failures


def _table(found: Sequence[DataNeed]) -> Table:
    from rich.markup import escape

    table = new_table(("data", "name", "folder", "size", "license", "state"), right=["size"])
    for need in found:
        size = f"{need.num_bytes / 1e9:,.2f} GB" if need.num_bytes else "not stated"
        licence = need.licence or "not stated"
        state = "present" if not need.problems else "to download" if need.fetch else "by hand"
        row = (need.kind, need.name, need.place, size, licence, state)
        table.add_row(*map(escape, row))
    return table


def _total(found: Sequence[DataNeed]) -> str:
    missing = [need for need in found if need.problems]
    known = [need.num_bytes for need in missing if need.num_bytes]
    num_unknown = len(missing) - len(known)
    unknown = f", unknown size for {num_unknown}" if num_unknown else ""
    return (
        f"{len(missing)} of {len(found)} sets are missing: "
        f"{sum(known) / 1e9:,.2f} GB for {len(known)}{unknown}. By downloading, you accept the licenses."
    )
