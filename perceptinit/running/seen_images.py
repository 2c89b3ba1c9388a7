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
