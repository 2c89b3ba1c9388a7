"""What stands in the way of a recipe: data that are absent, and everything else that is known to fail later."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from perceptinit.components.building import Spec, find_component_warnings, preflight, walk
from perceptinit.configs import address_of
from perceptinit.errors import Problem, RecipeError
from perceptinit.files.downloads import (
    Download,
    HasDownloads,
    Progress,
    check_space,
    check_sums,
    default_files,
    fetch_all,
)
from perceptinit.protocols import HasMisfits, HasNeeds
from perceptinit.recipe.recipe import Recipe
from perceptinit.types import DataCard, DataNeed

MAX_LISTED = 3  # absent sets that have a line each


def check_ready(recipe: Recipe, arms: Collection[str] = ()) -> None:
    """Raise RecipeError with everything that is known to fail later, of some arms or of all."""
    chosen = tuple(arm for arm in recipe.arms if not arms or arm.name in arms)
    problems = find_obstacles(replace(recipe, arms=chosen))
    if problems:
        raise RecipeError(problems, recipe.source)


def find_obstacles(recipe: Recipe, others: Iterable[Spec] = ()) -> list[Problem]:
    """Return what stands in the way of running a valid recipe, such as absent data, each once.

    others: components beside those of the runs.
    """
    return _ask([*recipe.specs(), *others], preflight) or _misfits(recipe)


def _misfits(recipe: Recipe) -> list[Problem]:
    """Return why evaluators cannot measure what the recipe trains, such as for classes of other names."""
    evaluators = [(slot.spec, slot.spec.build()) for slot in recipe.evals]
    fitted = [(spec, built) for spec, built in evaluators if isinstance(built, HasMisfits)]
    if not fitted or recipe.pretrain is None:
        return []
    pretrainer = recipe.pretrain.build()
    return [Problem(f"[{spec.where}]", text) for spec, built in fitted for text in built.misfits(pretrainer)]


def find_warnings(recipe: Recipe) -> list[Problem]:
    """Return what would run, but is hardly meant, such as a batch larger than the data, each once."""
    return _ask(recipe.specs(), find_component_warnings)


def _ask(specs: Iterable[Spec], ask: Callable[[Any], list[str]]) -> list[Problem]:
    """Return what built components answer, at their places, each answer once."""
    found: dict[str, Problem] = {}
    for spec in walk(specs):
        try:
            messages = ask(spec.build())
        except Exception as error:  # reported at its place in the recipe, whatever it is
            messages = [str(error) or type(error).__name__]
        for message in messages:
            found.setdefault(message, Problem(f"[{spec.where}]", message))
    return list(found.values())


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
    except Exception:  # reported by find_obstacles, with its place
        return
    card, root = getattr(component, "card", None), getattr(spec.config, "root", None)
    if isinstance(component, HasNeeds):
        yield from component.needs()
    elif isinstance(card, DataCard) and isinstance(root, Path) and not address_of(root):
        yield _need_published(spec, component, card, root)


def _need_published(spec: Spec, component: Any, card: DataCard, folder: Path) -> DataNeed:
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
    files: Sequence[Download], folder: Path, card: DataCard | None, num_workers: int, progress: Progress
) -> list[str]:
    """Fetch the files of a published set, compare recorded sums, and return the paths that came now."""
    folder.mkdir(parents=True, exist_ok=True)
    check_space(files, folder)
    fetched = fetch_all(files, folder, num_workers=num_workers, progress=progress)
    if card is not None:  # None where only a part of the set is fetched
        check_sums(folder, card)
    return fetched


def summarize_obstacles(recipe: Recipe, obstacles: Sequence[Problem], command: str) -> Iterator[str]:
    """Yield what stands in the way: one line for all data where more than a few sets are absent.

    command: gets the data.
    """
    absent = [need for need in needs(recipe) if need.problems and not Path(need.place).exists()]
    joined = {text for need in absent for text in need.problems} if len(absent) > MAX_LISTED else ()
    yield from (str(obstacle) for obstacle in obstacles if obstacle.message not in joined)
    if absent:
        yield (
            f"data that are absent: {_list(absent)}. {command} tells sizes and licences, gets what can be "
            "fetched, and says how the rest is got"
        )


def _list(absent: Sequence[DataNeed]) -> str:
    by_kind = {need.kind: [n for n in absent if n.kind == need.kind] for need in absent}
    return ", ".join(
        f"{len(of_kind)} {kind}s" if len(of_kind) > 1 else f"{kind} {of_kind[0].name}{size}"
        for kind, of_kind in by_kind.items()
        for num_bytes in [of_kind[0].num_bytes]
        for size in [f" ({num_bytes / 1e9:,.1f} GB)" if num_bytes else ""]
    )
