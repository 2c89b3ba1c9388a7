"""Evaluated images that the stages of an arm were trained on."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain

import numpy as np

from perceptinit.components.building import DATA_PARTS, Spec
from perceptinit.errors import PerceptInitError, Problem, UsageError
from perceptinit.images.copies import find_copies
from perceptinit.protocols import Evaluator, HasEvaluatedImages
from perceptinit.recipe.recipe import Arm, Recipe
from perceptinit.types import ImageSource

MOST_IMAGES = 1_000_000  # more pairs of a stage are not read again
MOST_VALIDATED = 20_000  # images of larger sets are compared when a run starts, and not by `validate`


def find_seen(arm: Arm, evaluators: Iterable[Evaluator], most: int = MOST_IMAGES) -> dict[str, float]:
    """Return the share of evaluated images that the stages of an arm were trained on, by data set.

    Images are compared by their decoded pixels at full size. Absent are data sets of evaluators
    that do not list their images, sets of more than `most` images, and all sets if the images of a stage
    cannot be listed.
    """
    sets = {name: images for name, images in _list_evaluated(evaluators).items() if len(images) <= most}
    stages = list(_find_data((*arm.init, *arm.posthoc)))
    if not stages:
        return dict.fromkeys(sets, 0.0)
    with suppress(PerceptInitError):  # the stage itself reports an error in its data
        trained = chain.from_iterable(map(_list_trained, stages))
        return dict(zip(sets, find_copies(list(sets.values()), trained), strict=True))
    return {}


def find_leaks(recipe: Recipe) -> list[Problem]:
    """Return a warning for each data set of up to `MOST_VALIDATED` images that a stage is trained on."""
    evaluators = [slot.spec.build() for slot in recipe.evals]
    problems = []
    for arm in recipe.arms:
        for name, share in find_seen(arm, evaluators, MOST_VALIDATED).items():
            if share:
                text = f"its stages are trained on {share:.1%} of the images of {name}, which is evaluated"
                problems.append(Problem(f"arm {arm.name}", text))
    return problems


def _list_evaluated(evaluators: Iterable[Evaluator]) -> dict[str, Sequence[ImageSource]]:
    found: dict[str, Sequence[ImageSource]] = {}
    for evaluator in evaluators:
        if isinstance(evaluator, HasEvaluatedImages):
            with suppress(PerceptInitError):  # the evaluator itself reports an error in its data
                found.update(evaluator.evaluated_images())
    return found


def _find_data(specs: Iterable[Spec]) -> Iterator[Spec]:
    """Yield the outermost judgments and pairs of stages."""
    for spec in specs:
        if spec.entry.kind in DATA_PARTS:
            yield spec
        else:
            yield from _find_data(spec.parts.values())


def _list_trained(spec: Spec) -> Iterator[ImageSource]:
    """Yield the training images of judgments or pairs."""
    data = spec.build()
    if spec.entry.kind == "pairs":
        if data.num_pairs > MOST_IMAGES:
            raise UsageError(f"{spec.name}: {data.num_pairs:,} pairs are not read to find copies of images")
        yield from (data.pair(index).image for index in range(data.num_pairs))
        return
    triplets = data.load("train")
    yield from (triplets.stimuli.images[index] for index in np.unique(triplets.roles))
