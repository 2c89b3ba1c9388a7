"""`perceptinit data download --recipe`: all data that a recipe needs, sizes and licences first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from perceptinit.cli.data import pairs
from perceptinit.cli.data.bars import bars

if TYPE_CHECKING:
    from rich.table import Table

    from perceptinit.types import DataNeed


def download(recipe: Path, overrides: Sequence[str], workers: int, dry_run: bool) -> None:
    """Show what a recipe needs, fetch what is absent and can be fetched, and say how the rest is got.

    Raises DataError at the end with every set that failed.
    """
    from rich.console import Console

    from perceptinit.errors import DataError
    from perceptinit.recipe.reading import load_recipe
    from perceptinit.running.readiness import find_obstacles, needs

    found = list(_asked(needs(load_recipe(recipe, overrides))))
    console = Console(highlight=False)
    console.print(_table(found))
    console.print(_total(found), soft_wrap=True)
    failures = [] if dry_run else _fetch(found, workers)
    by_hand = [need for need in found if need.problems and not need.fetch]
    for need in by_hand:
        typer.echo(f"\n{need.kind} {need.name}, into {need.place}: {_how(need)}")
    if failures:
        raise DataError("\n".join(failures))
    if not dry_run and not by_hand:
        left = find_obstacles(load_recipe(recipe, overrides))
        typer.echo("Next: " + ("; ".join(map(str, left)) if left else f"perceptinit run {recipe}"))


def _asked(found: Sequence[DataNeed]) -> Iterator[DataNeed]:
    """Yield the needs, with size and licence of absent ones as their source states them while it can be asked."""
    from dataclasses import replace

    from perceptinit.errors import DataError

    can_ask = True
    for need in found:
        if can_ask and need.problems and need.ask:
            try:
                num_bytes, licence = need.ask()
                need = replace(need, num_bytes=num_bytes, licence=licence)
            except DataError as error:
                typer.echo(f"warning: {error}; no more are asked for", err=True)
                can_ask = False
        yield need


def _fetch(found: Sequence[DataNeed], workers: int) -> list[str]:
    """Fetch what is absent, one set after the other; return what failed."""
    from perceptinit.errors import DataError, UsageError

    failures = []
    progress, report = bars()
    with progress:
        for need in found:
            if need.problems and need.fetch:
                try:
                    need.fetch(workers, report)
                    typer.echo(f"{need.name}: fetched into {need.place}")
                except (DataError, UsageError) as error:
                    failures.append(f"{need.name}: {error}")
    return failures


def _table(found: Sequence[DataNeed]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("data", "name", "folder", "size", "licence", "state"):
        table.add_column(heading, overflow="fold", justify="right" if heading == "size" else "left")
    for need in found:
        size = f"{need.num_bytes / 1e9:,.2f} GB" if need.num_bytes else "not stated"
        row = (
            need.kind,
            need.name,
            need.place,
            size,
            need.licence or "not stated",
            _state(need),
        )
        table.add_row(*map(escape, row))
    return table


def _state(need: DataNeed) -> str:
    return "there" if not need.problems else "to be fetched" if need.fetch else "yours to get"


def _total(found: Sequence[DataNeed]) -> str:
    absent = [need for need in found if need.problems]
    known = [need.num_bytes for need in absent if need.num_bytes]
    unknown = (
        f", and {len(absent) - len(known)} whose size is not stated"
        if len(known) < len(absent)
        else ""
    )
    return (
        f"{len(absent)} of {len(found)} are absent: {sum(known) / 1e9:,.2f} GB in {len(known)}{unknown}. "
        "By fetching you accept the licences."
    )


def _how(need: DataNeed) -> str:
    return pairs.card(need.name) if need.kind == "pairs" and pairs.is_pairs(need.name) else need.how
