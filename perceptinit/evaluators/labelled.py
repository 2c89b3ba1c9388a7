"""Measures on labeled sets without text: `knn`, and the accuracy of a classifier (`classification`)."""

# N images, M reference images, D embedding, B batch, C classes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np

from perceptinit.configs import PositiveFloat, PositiveInt
from perceptinit.errors import DataError, problems_of
from perceptinit.evaluators.features import ALONE, Joint
from perceptinit.evaluators.metrics import knn_predictions, share_score
from perceptinit.evaluators.set_measure import EmbeddedSetMeasure, Features, SetConfig
from perceptinit.protocols import Pretrainer
from perceptinit.test_sets.sets import ZeroShotSet
from perceptinit.types import Fit, RunContext, Score


class LabeledMeasure(EmbeddedSetMeasure):
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
        name = f"{measure}/{labelled.name}"
        chance = 1 / len(labelled.classnames)
        return share_score(name, correct, chance, {**self.facts(labelled), **own})


class KNN(LabeledMeasure):
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


class ClassificationAccuracy(LabeledMeasure):
    """Accuracy of the classifier that pretrainer `supervised` trains.

    The score `accuracy/<set>` is the top-1 accuracy on the test split. Classes are matched by name, and the
    classifier must be trained on every class of the set. Chance is one over the number of training classes.
    """

    needed_part = "head"

    Config = SetConfig

    def evaluate_many(
        self, models: Sequence[Any], ctx: RunContext, joint: Joint = ALONE
    ) -> list[list[Score]]:
        """Return the scores of each model. The classes may differ, so models are evaluated separately."""
        results = []
        for model in models:
            # normalization keeps the order of logits, and the whole model determines them
            logits: Any = SimpleNamespace(
                image=model,
                image_size=model.image_size,
                fit=Fit.of(model),
                classnames=model.classnames,
                embed_dim=len(model.classnames),
                encode_image=model.classify,
            )
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
