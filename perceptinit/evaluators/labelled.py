"""Measures of image embeddings on labeled sets (`knn`), without text."""

from __future__ import annotations

# N images, M reference images, D embedding, C classes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from perceptinit.configs import PositiveFloat, PositiveInt
from perceptinit.errors import DataError, problems_of
from perceptinit.evaluators.metrics import knn_predictions, share_score
from perceptinit.evaluators.set_measure import EmbeddedSetMeasure, Features, SetConfig
from perceptinit.test_sets.sets import ZeroShotSet
from perceptinit.types import RunContext, Score


class LabelledMeasure(EmbeddedSetMeasure):
    """Base class of measures of image embeddings on labeled sets."""

    def preflight(self) -> Iterator[str]:
        """Yield missing and invalid files in the splits of each set."""
        for dataset, split in product(self.choice.all, self.splits):
            yield from problems_of(self.read, dataset, split)

    def read(self, dataset: str, split: str) -> ZeroShotSet:
        """Return a split of a set; DataError for images with several labels."""
        labelled = self.choice.read(dataset, split)
        assert isinstance(labelled, ZeroShotSet)
        if labelled.is_multilabel:
            raise DataError(
                f"test set '{dataset}': images have several labels, but this measure needs one per image"
            )
        return labelled

    def facts(self, labelled: ZeroShotSet) -> dict[str, Any]:
        return {"precision": self.config.precision, "simulated": labelled.simulated}

    def accuracy(self, measure: str, labelled: ZeroShotSet, correct: np.ndarray, **own: Any) -> Score:
        """Return the accuracy as a Score, with a chance level of one over the number of classes."""
        name, chance = f"{measure}/{labelled.name}", 1 / len(labelled.classnames)
        return share_score(name, correct, chance, {**self.facts(labelled), **own})


class KNN(LabelledMeasure):
    """Accuracy of a k-nearest-neighbor classifier on the image embeddings.

    The score `knn/<set>` is the top-1 accuracy on the test split. Each of the k nearest training images
    (by cosine) votes with the weight exp(cosine / temperature). The set needs a training split, `train/` next
    to `test/`.

    Source: Wu et al. 2018.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(SetConfig):
        k: PositiveInt = 20
        """Number of neighbors that vote (DINO: 20)."""
        temperature: PositiveFloat = 0.07
        """Divisor of the cosines in the weights (Wu et al. 2018: 0.07)."""

    splits = ("train", "test")

    def scores(
        self, model: Any, sets: Sequence[ZeroShotSet], features: Features, ctx: RunContext
    ) -> list[Score]:
        """Return the accuracy."""
        train, test = sets
        k = min(self.config.k, len(train.labels))
        predictions = knn_predictions(
            features[0], train.labels, features[1], k, self.config.temperature, len(test.classnames)
        )
        correct = predictions == test.labels
        return [self.accuracy("knn", test, correct, k=k, num_reference=len(train.labels))]
