"""Which data a recipe needs, which of them are absent, and how they are got."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from perceptinit.components.building import Spec, preflight, walk
from perceptinit.configs import address_of
from perceptinit.errors import Problem
from perceptinit.files.downloads import (
    Download,
    HasDownloads,
    Progress,
    check_space,
    check_sums,
    default_files,
    fetch_all,
)
from perceptinit.protocols import HasNeeds
from perceptinit.recipe.recipe import Recipe
from perceptinit.types import DataCard, DataNeed

MAX_TOLD = 3  # sets that are absent, each with a line of its own


def needs(recipe: Recipe) -> list[DataNeed]:
    """Return all data of a recipe's components, and of what it is tuned by, each once."""
    found: dict[tuple[str, str], DataNeed] = {}
    tuned_by = [recipe.tune.evaluator] if recipe.tune else []
    for spec in walk([*recipe.specs(), *tuned_by]):
        for need in _needs_of(spec):
            found.setdefault((need.name, need.place), need)
    return list(found.values())


def _needs_of(spec: Spec) -> Iterator[DataNeed]:
    try:
        component = spec.build()
    except Exception:  # told by find_obstacles, with its place
        return
    card, root = getattr(component, "card", None), getattr(spec.config, "root", None)
    if isinstance(component, HasNeeds):
        yield from component.needs()
    elif isinstance(card, DataCard) and isinstance(root, Path) and not address_of(root):
        yield _published(spec, component, card, root)


def _published(spec: Spec, component: Any, card: DataCard, folder: Path) -> DataNeed:
    """Return what is needed of published judgments, which have a card and a folder."""
    files = default_files(component.downloads) if isinstance(component, HasDownloads) else []
    known = sum(file.unpacked_bytes or file.num_bytes or 0 for file in files)
    return DataNeed(
        kind=spec.entry.kind,
        name=spec.name,
        place=str(folder),
        problems=tuple(preflight(component)),
        num_bytes=known or card.size_bytes,
        licence=card.licence,
        fetch=partial(fetch_published, files, folder, card) if files else None,
        how=f"by hand: {card.source_url}",
    )


def fetch_published(
    files: Sequence[Download], folder: Path, card: DataCard, num_workers: int, progress: Progress
) -> list[str]:
    """Fetch the files of a published set, compare recorded sums, and return the paths that came now."""
    folder.mkdir(parents=True, exist_ok=True)
    check_space(files, folder)
    fetched = fetch_all(files, folder, num_workers=num_workers, progress=progress)
    check_sums(folder, card)
    return fetched


def told_briefly(recipe: Recipe, obstacles: Sequence[Problem], command: str) -> Iterator[str]:
    """Yield what stands in the way: one line for all data where more than a few sets are absent.

    command: gets the data.
    """
    absent = [need for need in needs(recipe) if need.problems and not Path(need.place).exists()]
    told = {text for need in absent for text in need.problems} if len(absent) > MAX_TOLD else ()
    yield from (str(obstacle) for obstacle in obstacles if obstacle.message not in told)
    if absent:
        yield (
            f"data that are absent: {_listed(absent)}. {command} tells sizes and licences, gets what can be "
            "fetched, and says how the rest is got"
        )


def _listed(absent: Sequence[DataNeed]) -> str:
    by_kind = {need.kind: [n for n in absent if n.kind == need.kind] for need in absent}
    return ", ".join(
        f"{len(of_kind)} {kind}s" if len(of_kind) > 1 else f"{kind} {_with_size(of_kind[0])}"
        for kind, of_kind in by_kind.items()
    )


def _with_size(need: DataNeed) -> str:
    return f"{need.name} ({need.num_bytes / 1e9:,.1f} GB)" if need.num_bytes else need.name
