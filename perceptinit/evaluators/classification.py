"""How often the classifier that was pretrained names the right class (`classification`)."""

from __future__ import annotations

# N images, B batch, C classes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from perceptinit.errors import DataError
from perceptinit.evaluators.features import ALONE, Joint
from perceptinit.evaluators.labelled import Features, LabelledMeasure
from perceptinit.evaluators.set_measure import SetConfig
from perceptinit.protocols import DualEncoder, Pretrainer
from perceptinit.test_sets.sets import ZeroShotSet
from perceptinit.types import RunContext, Score


class ClassificationAccuracy(LabelledMeasure):
    """Does the trained classifier, as pretrainer `supervised` leaves it, name the class of an image?

    Gives `accuracy/<set>`, top-1 over the images of the test split. Classes go by their names: all
    of the set have to be among those that were trained, whose number gives chance.
    """

    needed_part = "head"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(SetConfig):
        pass

    def evaluate_many(
        self, models: Sequence[DualEncoder], ctx: RunContext, joint: Joint = ALONE
    ) -> list[list[Score]]:
        results = []
        for model in models:  # whose classes may differ
            logits: Any = _Logits(model)
            self._trained = logits.classnames
            results += super().evaluate_many([logits], ctx, joint)
        return results

    def misfits(self, pretrainer: Pretrainer) -> Iterator[str]:
        """Yield which sets have classes that are not trained."""
        names: Sequence[str] = getattr(pretrainer, "classnames", ())
        for dataset in self.choice.all if names else ():
            problem = _strange(self._read(dataset, "test"), names)
            if problem:
                yield problem

    def scores(self, sets: Sequence[ZeroShotSet], features: Features) -> list[Score]:
        [labelled] = sets
        problem = _strange(labelled, self._trained)
        if problem:
            raise DataError(problem)
        place = {name: i for i, name in enumerate(self._trained)}
        truth = np.array([place[name] for name in labelled.classnames])[labelled.labels]
        correct = features[0].argmax(axis=1) == truth
        score = self.accuracy("accuracy", labelled, correct, num_classes=len(place))
        return [replace(score, chance=1 / len(place))]


def _strange(labelled: ZeroShotSet, trained: Sequence[str]) -> str:
    """Return a sentence on classes of a set that are not trained; empty when all are."""
    strange = [name for name in labelled.classnames if name not in set(trained)]
    if not strange:
        return ""
    return (
        f"test set '{labelled.name}': class '{strange[0]}' ({len(strange)} such) is none of the "
        f"{len(trained)} that are trained, such as '{trained[0]}'. Give both the same names"
    )


class _Logits:
    """A model whose embeddings are the logits of its classifier: their lengths do not change the largest."""

    def __init__(self, model: Any) -> None:
        self.image = model  # all of it decides what comes out
        self.image_size = model.image_size
        self.classnames: tuple[str, ...] = model.classnames
        self.embed_dim = len(self.classnames)
        self._classify = model.classify

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        return self._classify(images)
