"""`perceptinit data download`: download a data set, or all data of a recipe."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perceptinit.cli.common import Overrides, Texts, new_console, new_table, print_warnings
from perceptinit.errors import DataError, RemoteError, UsageError

if TYPE_CHECKING:
    from perceptinit.registry import Registry
    from perceptinit.types import DataNeed

NUM_WORKERS = 4  # parallel downloads
HEADINGS = ("data", "name", "folder", "size", "license", "state")


def download(
    ctx: typer.Context,
    data: Annotated[
        str, typer.Argument(help="Data set (perceptinit data list), test set, suite, or recipe.")
    ],
    set_: Overrides = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder. [default: $<NAME>_ROOT, else data/<name>; test sets: data/eval]"),
    ] = None,
    part: Annotated[Texts, typer.Option(help="Only this part; may be repeated.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show sizes and licenses only.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Accept the licenses, do not ask.")] = False,
) -> None:
    """Download a data set in parallel, verify its files and unpack its archives.

    Prints sizes and licenses, and asks before it starts. Rerun the command to resume.
    Files are verified with checksums from the source or from perceptinit, and archives during unpacking.
    downloads.json lists the files with checksums.

    For a recipe, downloads its judgments and test sets, and prints how to get the other data.

    Example: perceptinit data download nights --part table

    Example: perceptinit data download pi_clip_yfcc --dry-run
    """
    from perceptinit.recipe.shipped import is_recipe

    if not is_recipe(data):
        if set_:
            raise UsageError(f"{data}: --set is for recipes")
        found = _named_needs(ctx.obj.registry, data, out, part or ())
        fetch_needs(found, dry_run=dry_run, must_fetch=True, yes=yes)
        if not dry_run:
            typer.echo(f"Next: perceptinit data check {data}")
        return
    if out or part:
        raise UsageError(f"{data}: the recipe states its folders and data. Omit --out and --part")
    from perceptinit.recipe.reading import load_recipe
    from perceptinit.running.readiness import find_needs, find_obstacles

    is_all_there = fetch_needs(find_needs(load_recipe(data, set_ or ())), dry_run=dry_run, yes=yes)
    if is_all_there and not dry_run:
        left = find_obstacles(load_recipe(data, set_ or ()))
        typer.echo("Next: " + ("; ".join(map(str, left)) if left else f"perceptinit run {data}"))


def _named_needs(registry: Registry, name: str, out: Path | None, parts: Sequence[str]) -> list[DataNeed]:
    """Return the `DataNeed`s of a suite, a test set, or published judgments."""
    from perceptinit.cli.data.pairs import refuse_pairs
    from perceptinit.judgments.sources import default_folder, published_set
    from perceptinit.running.readiness import fetch_published
    from perceptinit.test_sets.inventory import choose_set
    from perceptinit.test_sets.sets import is_test_set, members
    from perceptinit.types import DataNeed

    if is_test_set(name):
        root = str(out or "data/eval")
        return [need for key in members(name) for need in choose_set(key, root).needs()]
    refuse_pairs(name)
    found = published_set(registry, name)
    files = found.choose(parts)
    folder = out or default_folder(name)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: a file, not a folder. Choose a folder with --out")
    typer.echo(f"{found.card.title}\nCite: {found.card.citation}", err=True)
    need = DataNeed(
        kind="judgments",
        name=name,
        place=str(folder),
        problems=("not compared with its source",),
        num_bytes=sum(d.unpacked_bytes or d.num_bytes or 0 for d in files) or None,
        license=found.card.license,
        fetch=partial(fetch_published, files, folder, None if parts else found.card),
        url=files[0].urls[0],
    )
    return [need]


def fetch_needs(
    needs: Sequence[DataNeed], *, dry_run: bool = False, must_fetch: bool = False, yes: bool = False
) -> bool:
    """Print a table of data, download missing data, and print instructions for data without a public copy.

    Returns:
        Whether all missing data has a public copy.

    Raises:
        RemoteError: If no server responds.
        UsageError: If the user must confirm the download and there is no terminal.
        DataError: If downloads failed or, with `must_fetch`, sets have no public copy. Lists all failures.
    """
    from perceptinit.cli.data.pairs import card, published_pairs

    unreachable = _find_unreachable(needs, dry_run)
    found = list(_with_sizes(needs, unreachable))
    missing = [need for need in found if need.problems]
    console = new_console(markup=False)
    console.print(new_table(HEADINGS, map(_describe, found), right=["size"]))
    console.print(f"{len(missing)} of {len(found)} sets are missing: {_sizes(missing)}.", soft_wrap=True)
    failures: list[str] = []
    if not dry_run:
        wanted = [need for need in missing if need.fetch]
        if wanted and not yes:
            _confirm(wanted)
        failures += _fetch(wanted, unreachable)
    by_hand = [need for need in missing if not need.fetch]
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


def _find_unreachable(needs: Sequence[DataNeed], dry_run: bool) -> dict[str, str]:
    """Return the reason for each address whose server does not respond; RemoteError if none does.

    A dry run continues with known sizes and a warning.
    """
    from perceptinit.files.remote.network import find_unreachable

    addresses = {need.url for need in needs if need.problems and need.url}
    unreachable = find_unreachable(addresses)
    if unreachable:
        reasons = "; ".join(f"{address}: {reason}" for address, reason in sorted(unreachable.items()))
        if len(unreachable) == len(addresses) and not dry_run:
            raise RemoteError(f"no server responds ({reasons}). Check the connection, then rerun the command")
        print_warnings([f"{reasons}. Sizes and licenses may be incomplete"])
    return unreachable


def _confirm(wanted: Sequence[DataNeed]) -> None:
    """Ask before a download."""
    what = f"{len(wanted)} sets ({_sizes(wanted)})"
    if not sys.stdin.isatty():
        raise UsageError(f"without a terminal, --yes is required to accept the licenses and download {what}")
    if not typer.confirm(f"Accept the licenses and download {what}?"):
        raise typer.Exit(1)


def _with_sizes(needs: Sequence[DataNeed], unreachable: Mapping[str, str]) -> Iterator[DataNeed]:
    """Yield the needs, with size and license of missing data. Stop requesting these after a failure."""
    can_ask = True
    for need in needs:
        if can_ask and need.problems and need.ask and need.url not in unreachable:
            try:
                num_bytes, license = need.ask()
                need = replace(need, num_bytes=num_bytes or need.num_bytes, license=license)
            except DataError as error:
                print_warnings([f"{error}; the remaining sizes are not requested"])
                can_ask = False
        yield need


def _fetch(wanted: Sequence[DataNeed], unreachable: Mapping[str, str]) -> Iterator[str]:
    """Download data, and yield the errors."""
    from perceptinit.progress import Bars

    with Bars(counts_bytes=True) as bars:
        for need in wanted:
            if need.url in unreachable:
                yield f"{need.name}: {need.url} does not respond ({unreachable[need.url]})"
            elif need.fetch:
                try:
                    need.fetch(NUM_WORKERS, bars.update)
                    typer.echo(f"{need.name}: downloaded to {need.place}")
                except (DataError, UsageError) as error:
                    yield f"{need.name}: {error}"


def _describe(need: DataNeed) -> tuple[str, ...]:
    """Return the cells of a data set."""
    size = f"{need.num_bytes / 1e9:,.2f} GB" if need.num_bytes else "not stated"
    state = "present" if not need.problems else "to download" if need.fetch else "by hand"
    return need.kind, need.name, need.place, size, need.license or "not stated", state


def _sizes(needs: Sequence[DataNeed]) -> str:
    """Return the sum of known sizes and the number of unknown ones."""
    known = [need.num_bytes for need in needs if need.num_bytes]
    num_unknown = len(needs) - len(known)
    unknown = f", unknown size for {num_unknown}" if num_unknown else ""
    return f"{sum(known) / 1e9:,.2f} GB for {len(known)}{unknown}"
