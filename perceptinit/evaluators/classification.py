"""Accuracy of the classifier from supervised pretraining (`classification`)."""

from __future__ import annotations

# N images, B batch, C classes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from perceptinit.errors import DataError
from perceptinit.evaluators.features import ALONE, Joint
from perceptinit.evaluators.labelled import LabelledMeasure
from perceptinit.evaluators.set_measure import Features, SetConfig
from perceptinit.protocols import DualEncoder, Pretrainer
from perceptinit.test_sets.sets import ZeroShotSet
from perceptinit.types import Fit, RunContext, Score


class ClassificationAccuracy(LabelledMeasure):
    """Accuracy of the classifier that pretrainer `supervised` trains.

    The score `accuracy/<set>` is the top-1 accuracy on the test split. Classes are matched by name, and the
    classifier must be trained on every class of the set. Chance is one over the number of training classes.
    """

    needed_part = "head"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(SetConfig):
        pass

    def evaluate_many(
        self, models: Sequence[DualEncoder], ctx: RunContext, joint: Joint = ALONE
    ) -> list[list[Score]]:
        """Return the scores of each model. The classes may differ, so models are evaluated separately."""
        results = []
        for model in models:
            logits: Any = _Logits(model)
            results += super().evaluate_many([logits], ctx, joint)
        return results

    def misfits(self, pretrainer: Pretrainer) -> Iterator[str]:
        """Yield an error message for each set with classes that the classifier is not trained on."""
        names: Sequence[str] = getattr(pretrainer, "classnames", ())
        for dataset in self.choice.all if names else ():
            if problem := _find_untrained(self.read(dataset, "test"), names):
                yield problem

    def scores(
        self, model: Any, sets: Sequence[ZeroShotSet], features: Features, ctx: RunContext
    ) -> list[Score]:
        """Return the accuracy; DataError if the set has classes that the classifier is not trained on."""
        [labelled] = sets
        if problem := _find_untrained(labelled, model.classnames):
            raise DataError(problem)
        place = {name: i for i, name in enumerate(model.classnames)}
        truth = np.array([place[name] for name in labelled.classnames])[labelled.labels]
        correct = features[0].argmax(axis=1) == truth
        score = self.accuracy("accuracy", labelled, correct, num_classes=len(place))
        return [replace(score, chance=1 / len(place))]


def _find_untrained(labelled: ZeroShotSet, trained: Sequence[str]) -> str:
    """Return an error message if the classifier is not trained on all classes of a set, else ""."""
    untrained = [name for name in labelled.classnames if name not in trained]
    if not untrained:
        return ""
    return (
        f"test set '{labelled.name}': {len(untrained)} classes, such as '{untrained[0]}', are not among the "
        f"{len(trained)} training classes, such as '{trained[0]}'. Use the same class names"
    )


class _Logits:
    """A model whose embeddings are the logits of its classifier; normalization keeps their order."""

    def __init__(self, model: Any) -> None:
        self.image = model  # the whole model determines the logits
        self.image_size, self.fit = model.image_size, Fit.of(model)
        self.classnames: tuple[str, ...] = model.classnames
        self.embed_dim = len(self.classnames)
        self._classify = model.classify

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        return self._classify(images)
