"""Accuracy of a linear classifier on frozen image embeddings (`linear-probe`)."""

# N images, D embedding
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from perceptinit.companion import LabeledMeasure, ZeroShotSet
from perceptinit.plugin import DataError, PositiveFloat, PositiveInt, RunContext, Score, SetConfig, generator


class LinearProbe(LabeledMeasure):
    """Accuracy of a linear classifier on the frozen image embeddings.

    Reports `linear_probe/<set>`, the top-1 test accuracy of scikit-learn's logistic regression (L-BFGS) on
    unit-length embeddings. The L2 penalty is chosen on a tenth of the training split, and the final fit uses
    the full training split. The set needs a training split: `train/` next to `test/`.

    Source: linear probe of CLIP (Radford et al. 2021, A.3).
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(SetConfig):
        strengths: tuple[PositiveFloat, ...] = (0.1, 1.0, 10.0, 100.0, 1000.0)
        """Candidate inverse penalties (scikit-learn's C); a single value needs no held-out data."""
        max_iterations: PositiveInt = 1000
        """Maximum number of L-BFGS iterations per fit (CLIP: 1000)."""

    splits = ("train", "test")

    def scores(
        self, model: Any, sets: Sequence[ZeroShotSet], features: Sequence[np.ndarray], ctx: RunContext
    ) -> list[Score]:
        """Return the test accuracy."""
        train, test = sets
        strength = self._choose(train, features[0])
        correct = self._fit(features[0], train.labels, strength).predict(features[1]) == test.labels
        about = {"strength": strength, "num_train": len(train.labels)}
        return [self.accuracy("linear_probe", test, correct, **about)]

    def _choose(self, train: ZeroShotSet, features: np.ndarray) -> float:
        """Return the best strength on a tenth of the training split that is the same for all models."""
        strengths = self.config.strengths
        if len(strengths) == 1:
            return float(strengths[0])
        order = generator(0, "linear-probe", "held-out", train.name).permutation(len(train.labels))
        held, kept = np.split(order, [max(1, len(order) // 10)])

        def accuracy(strength: float) -> float:
            fitted = self._fit(features[kept], train.labels[kept], strength)
            return float((fitted.predict(features[held]) == train.labels[held]).mean())

        return float(max(strengths, key=accuracy))

    def _fit(self, features: np.ndarray, labels: np.ndarray, strength: float) -> Any:
        if len(np.unique(labels)) < 2:
            raise DataError("linear-probe: the training split has only one class")
        return LogisticRegression(C=strength, max_iter=self.config.max_iterations).fit(features, labels)
