"""Obstacles to running a recipe, such as missing data, and evaluated images that it is trained on."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch

from perceptinit.components.building import (
    DATA_PARTS,
    Spec,
    find_component_warnings,
    find_needed_part,
    preflight,
    walk,
)
from perceptinit.compute.devices import choose_device
from perceptinit.compute.optim import has_native_bf16, measure_bf16_slowdown
from perceptinit.configs import address_of
from perceptinit.errors import PerceptInitError, Problem, RecipeError, UsageError, message_of
from perceptinit.evaluators.judged import find_crops
from perceptinit.files.downloads import (
    Download,
    HasDownloads,
    Progress,
    check_sums,
    default_files,
    fetch_all,
)
from perceptinit.images.copies import find_copies
from perceptinit.protocols import Evaluator, HasEvaluatedImages, HasMisfits, HasNeeds
from perceptinit.recipe.recipe import Arm, Recipe
from perceptinit.types import DataCard, DataNeed, Fit, ImageSource

MAX_LISTED = 3  # more missing data sets are only summarized


def check_ready(recipe: Recipe, arms: Collection[str] = ()) -> None:
    """Raise RecipeError with all known obstacles to running the arms (by default all arms)."""
    chosen = tuple(arm for arm in recipe.arms if not arms or arm.name in arms)
    problems = find_untrained_text(recipe) + find_obstacles(replace(recipe, arms=chosen))
    if problems:
        raise RecipeError(problems, recipe.source)


def find_obstacles(recipe: Recipe, others: Iterable[Spec] = ()) -> list[Problem]:
    """Return the distinct obstacles to running a valid recipe, such as missing data.

    Args:
        recipe: The recipe.
        others: Further components to check.
    """
    found = _collect([*recipe.specs(), *others], preflight)
    if found or recipe.pretrain is None:
        return found
    evaluators = [(slot.spec, slot.spec.build()) for slot in recipe.evals]
    fitted = [(spec, built) for spec, built in evaluators if isinstance(built, HasMisfits)]
    pretrainer: Any = recipe.pretrain.build() if fitted else None
    return [Problem(f"[{spec.where}]", text) for spec, built in fitted for text in built.misfits(pretrainer)]


def find_untrained_text(recipe: Recipe) -> list[Problem]:
    """Return a problem for each evaluator that would use an untrained text tower with random weights."""
    backbone = recipe.backbone
    # a backbone of a plug-in may have weights without the key `pretrained`
    if recipe.pretrain or getattr(backbone.config, "pretrained", None) or "/" in backbone.name:
        return []
    return [
        Problem(
            f"{slot.spec.where}.use",
            f"{slot.spec.entry.title} needs a pretrained text tower, but this one has random weights. Add "
            "[pretrain], or a backbone with `pretrained` weights",
        )
        for slot in recipe.evals
        if find_needed_part(slot.spec) == "text"
    ]


def find_warnings(recipe: Recipe) -> list[Problem]:
    """Return warnings about settings that are probably not intended, such as an oversized batch."""
    fit = Fit(getattr(recipe.backbone.config, "fit", None) or "center-crop")
    crops = _collect(find_judgments(recipe), lambda judgments: [*find_crops(judgments, fit)])
    slow = find_slow_precision(recipe, "auto")
    return [*_collect(recipe.specs(), find_component_warnings), *crops, *slow, *find_leaks(recipe)]


def find_slow_precision(recipe: Recipe, device: str) -> Iterator[Problem]:
    """Yield a warning for stages in bf16 on a processor that emulates it, with the measured factor."""
    if has_native_bf16(torch.device(choose_device(device)).type):
        return
    stages = [spec.where for spec in recipe.specs() if getattr(spec.config, "precision", "") == "bf16"]
    if stages:
        text = (
            'precision = "bf16" is emulated by this processor: a layer takes '
            f"{measure_bf16_slowdown():.1f} times as long as in fp32, measured now. "
            'precision = "auto" uses bf16 only where it is native; runs in another precision are other runs'
        )
        yield Problem(f"[{', '.join(dict.fromkeys(stages))}]", text)


def find_judgments(recipe: Recipe) -> list[Spec]:
    """Return the distinct judgments of a recipe, excluding components that modify other judgments."""
    found = (spec for spec in walk(recipe.specs()) if spec.entry.kind == "judgments" and not spec.parts)
    return list({str(spec.table()): spec for spec in found}.values())


def _collect(specs: Iterable[Spec], ask: Callable[[Any], list[str]]) -> list[Problem]:
    """Build components and return the distinct messages about them, each with its place in the recipe."""
    found: dict[str, Problem] = {}
    for spec in walk(specs):
        try:
            messages = ask(spec.build())
        except Exception as error:  # any error is reported with its location in the recipe
            messages = [message_of(error) or type(error).__name__]
        for message in messages:
            found.setdefault(message, Problem(f"[{spec.where}]", message))
    return list(found.values())


def find_needs(recipe: Recipe) -> list[DataNeed]:
    """Return the data that a recipe's components and its tuning need, without duplicates."""
    found: dict[tuple[str, str], DataNeed] = {}
    tuned_by = [recipe.tune.evaluator] if recipe.tune else []
    for spec in walk([*recipe.specs(), *tuned_by]):
        component = None
        with suppress(Exception):  # find_obstacles reports components that cannot be built
            component = spec.build()
        for need in _needs_of(spec, component):
            found.setdefault((need.name, need.place), need)
    return list(found.values())


def _needs_of(spec: Spec, component: Any) -> Iterable[DataNeed]:
    """Return the data that a component declares or, if it declares none, the data set of its card."""
    card = getattr(component, "card", None)
    folder = getattr(spec.config, "root", None)
    if isinstance(component, HasNeeds):
        return component.needs()
    if not isinstance(card, DataCard) or not isinstance(folder, Path) or address_of(folder):
        return []
    folder = spec.base / folder
    files = default_files(component.downloads) if isinstance(component, HasDownloads) else []
    known = sum(file.unpacked_bytes or file.num_bytes or 0 for file in files)
    return [
        DataNeed(
            kind=spec.entry.kind,
            name=spec.name,
            place=str(folder),
            problems=tuple(preflight(component)),
            num_bytes=known or card.size_bytes,
            license=card.license,
            fetch=partial(fetch_published, files, folder, card) if files else None,
            how=f"download by hand from {card.source_url}",
            url=files[0].urls[0] if files else "",
        )
    ]


def fetch_published(
    files: Sequence[Download], folder: Path, card: DataCard | None, num_workers: int, progress: Progress
) -> list[str]:
    """Download the files of a published set, verify checksums, and return the new paths."""
    fetched = fetch_all(files, folder, num_workers=num_workers, progress=progress)
    if card is not None:  # checksums are those of the whole set
        check_sums(folder, card)
    return fetched


def summarize_obstacles(recipe: Recipe, obstacles: Sequence[Problem], command: str) -> Iterator[str]:
    """Yield obstacles, then a summary of missing data. More than MAX_LISTED missing sets are only summarized.

    Args:
        recipe: The recipe.
        obstacles: Result of `find_obstacles`.
        command: Command that downloads the data.
    """
    absent = [need for need in find_needs(recipe) if need.problems and not Path(need.place).exists()]
    joined = {text for need in absent for text in need.problems} if len(absent) > MAX_LISTED else ()
    yield from (str(obstacle) for obstacle in obstacles if obstacle.message not in joined)
    if absent:
        yield f"missing data: {_describe(absent)}. For sizes, sources and the download, run: {command}"


def _describe(absent: Sequence[DataNeed]) -> str:
    by_kind = {need.kind: [n for n in absent if n.kind == need.kind] for need in absent}
    plurals = {"judgments": "sets of judgments", "pairs": "sets of pairs"}
    return ", ".join(
        f"{len(of_kind)} {plurals.get(kind, f'{kind}s')}"
        if len(of_kind) > 1
        else f"{kind} {of_kind[0].name}{size}"
        for kind, of_kind in by_kind.items()
        for num_bytes in [of_kind[0].num_bytes]
        for size in [f" ({num_bytes / 1e9:,.1f} GB)" if num_bytes else ""]
    )


MOST_IMAGES = 1_000_000  # more pairs of a stage are not read again
MOST_VALIDATED = 20_000  # images of larger sets are compared when a run starts, and not by `validate`


def find_seen(arm: Arm, evaluators: Iterable[Evaluator], most: int = MOST_IMAGES) -> dict[str, float]:
    """Return the share of evaluated images that the stages of an arm were trained on, by data set.

    Images are compared by their decoded pixels at full size. Absent are data sets of evaluators
    that do not list their images, sets of more than `most` images, and all sets if the images of a stage
    cannot be listed.
    """
    sets: dict[str, Sequence[ImageSource]] = {}
    with suppress(PerceptInitError):  # evaluators and stages report errors in their data themselves
        for evaluator in evaluators:
            if isinstance(evaluator, HasEvaluatedImages):
                sets.update(evaluator.evaluated_images())
        sets = {name: images for name, images in sets.items() if len(images) <= most}
        stages = list(_find_data((*arm.init, *arm.posthoc)))
        if not stages:
            return dict.fromkeys(sets, 0.0)
        trained = chain.from_iterable(map(_list_trained, stages))
        return dict(zip(sets, find_copies(list(sets.values()), trained), strict=True))
    return {}


def find_leaks(recipe: Recipe) -> Iterator[Problem]:
    """Yield a warning for each data set of up to `MOST_VALIDATED` images that a stage is trained on."""
    evaluators = [slot.spec.build() for slot in recipe.evals]
    for arm in recipe.arms:
        for name, share in find_seen(arm, evaluators, MOST_VALIDATED).items():
            if share:
                text = f"its stages are trained on {share:.1%} of the images of {name}, which is evaluated"
                yield Problem(f"arm {arm.name}", text)


def _find_data(specs: Iterable[Spec]) -> Iterator[Spec]:
    """Yield the outermost judgments and pairs of stages."""
    for spec in specs:
        yield from [spec] if spec.entry.kind in DATA_PARTS else _find_data(spec.parts.values())


def _list_trained(spec: Spec) -> Iterator[ImageSource]:
    """Yield the training images of judgments or pairs."""
    data = spec.build()
    if spec.entry.kind == "judgments":
        triplets = data.load("train")
        yield from (triplets.stimuli.images[index] for index in np.unique(triplets.roles))
    elif data.num_pairs > MOST_IMAGES:
        raise UsageError(f"{spec.name}: {data.num_pairs:,} pairs are not read to find copies of images")
    else:
        yield from (data.pair(index).image for index in range(data.num_pairs))
