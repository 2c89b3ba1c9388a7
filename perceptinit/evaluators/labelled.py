"""Measures of image embeddings on labelled sets (`knn`, `linear-probe`, `representation`): no text needed."""

from __future__ import annotations

# N images, M reference images, D embedding, C classes
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from perceptinit.configs import PositiveFloat, PositiveInt
from perceptinit.errors import DataError, problems_of
from perceptinit.evaluators.features import ALONE, Encoding, Joint, Subjects, all_features
from perceptinit.evaluators.metrics import (
    alignment,
    effective_rank,
    knn_predictions,
    measure_images,
    share_score,
    uniformity,
)
from perceptinit.evaluators.readable import mark_incomplete, readable_rows
from perceptinit.evaluators.set_measure import SetConfig, SetMeasure
from perceptinit.protocols import DualEncoder
from perceptinit.seeding import generator
from perceptinit.test_sets.sets import ZeroShotSet
from perceptinit.types import RunContext, Score

Features = Sequence[np.ndarray]  # of each model


class LabelledMeasure(SetMeasure):
    """Embeds the images of labelled sets, once for all models, and scores the embeddings."""

    splits: Sequence[str] = ("test",)

    def preflight(self) -> Iterator[str]:
        """Yield what is missing or wrong in each split of each set."""
        for dataset in self.choice.all:
            for split in self.splits:
                yield from problems_of(self._read, dataset, split)

    @torch.no_grad()
    def evaluate_many(
        self, models: Sequence[DualEncoder], ctx: RunContext, joint: Joint = ALONE
    ) -> list[list[Score]]:
        encoding = Encoding.of(self.config, ctx, joint)
        subjects = Subjects.of(models)
        results: list[list[Score]] = [[] for _ in models]
        for dataset in self.choice.all:
            with joint.guard(dataset):
                sets = [self._read(dataset, split) for split in self.splits]
                features = [all_features(subjects, s, encoding) for s in sets]
                rows = [readable_rows(s, encoding.merge, ctx.warn) for s in sets]
                kept = [s.only(r) for s, r in zip(sets, rows, strict=True)]
                for result, own in zip(results, zip(*features, strict=True), strict=True):
                    found = self.scores(kept, [f[r] for f, r in zip(own, rows, strict=True)])
                    result += mark_incomplete(found, sets, rows)
        return results

    def _read(self, dataset: str, split: str) -> ZeroShotSet:
        labelled = self.choice.read(dataset, split)
        assert isinstance(labelled, ZeroShotSet)
        if labelled.is_multilabel:
            raise DataError(f"test set '{dataset}': several labels an image; one is needed here")
        return labelled

    @abstractmethod
    def scores(self, sets: Sequence[ZeroShotSet], features: Features) -> list[Score]:
        """Return the scores of a model from its unit embeddings (N, D) of each split."""

    def facts(self, labelled: ZeroShotSet) -> dict[str, Any]:
        return {"precision": self.config.precision, "simulated": labelled.simulated}

    def accuracy(self, measure: str, labelled: ZeroShotSet, correct: np.ndarray, **own: Any) -> Score:
        """Return a share of right answers with its binomial error; chance is guessing evenly."""
        name, chance = f"{measure}/{labelled.name}", 1 / len(labelled.classnames)
        return share_score(name, correct, chance, {**self.facts(labelled), **own})


class KNN(LabelledMeasure):
    """Do images of one class lie together? Classifies the test split by its nearest training images.

    Gives `knn/<set>`, top-1 accuracy of a vote of the k nearest by cosine, weighted by
    exp(cosine / temperature) (Wu et al. 2018). The set needs a training split: `train/` beside `test/`.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(SetConfig):
        k: PositiveInt = 20
        """Neighbours that vote (DINO: 20)."""
        temperature: PositiveFloat = 0.07
        """Divides the cosines in the weights of the votes (Wu et al. 2018: 0.07)."""

    splits = ("train", "test")

    def scores(self, sets: Sequence[ZeroShotSet], features: Features) -> list[Score]:
        train, test = sets
        k = min(self.config.k, len(train.labels))
        predictions = knn_predictions(
            features[0], train.labels, features[1], k, self.config.temperature, len(test.classnames)
        )
        correct = predictions == test.labels
        return [self.accuracy("knn", test, correct, k=k, num_reference=len(train.labels))]


class LinearProbe(LabelledMeasure):
    """How well does a linear classifier, trained on the frozen embeddings, do?

    Gives `linear_probe/<set>`, top-1 accuracy on the test split of scikit-learn's logistic regression
    (L-BFGS), as CLIP's probe (Radford et al. 2021, A.3): embeddings of unit length, strength of the
    L2 penalty chosen on a tenth of the training split, then trained on all of it. The set needs a
    training split: `train/` beside `test/`.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(SetConfig):
        strengths: tuple[PositiveFloat, ...] = (0.1, 1.0, 10.0, 100.0, 1000.0)
        """Inverse penalties (scikit-learn's C) to choose from; one value: no choice, no held-out part."""
        max_iterations: PositiveInt = 1000
        """Most L-BFGS iterations of a fit (CLIP: 1000)."""

    splits = ("train", "test")

    def preflight(self) -> Iterator[str]:
        """Yield whether scikit-learn is missing, and what is wrong in each split of each set."""
        try:
            import sklearn  # noqa: F401
        except ImportError:
            yield ("evaluator 'linear-probe' needs scikit-learn. Get it: pip install 'perceptinit[probe]'")
        yield from super().preflight()

    def scores(self, sets: Sequence[ZeroShotSet], features: Features) -> list[Score]:
        train, test = sets
        strength = self._choose(train, features[0])
        fitted = self._fit(features[0], train.labels, strength)
        correct = fitted.predict(features[1]) == test.labels
        about = {"strength": strength, "num_train": len(train.labels)}
        return [self.accuracy("linear_probe", test, correct, **about)]

    def _choose(self, train: ZeroShotSet, features: np.ndarray) -> float:
        """Return the strength that does best on a held-out tenth, which depends on the set only."""
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
        from sklearn.linear_model import LogisticRegression

        if len(np.unique(labels)) < 2:
            raise DataError("linear-probe: the training split has one class only")
        model = LogisticRegression(C=strength, max_iter=self.config.max_iterations)
        return model.fit(features, labels)


class Representation(LabelledMeasure):
    """How are the embeddings spread? Three numbers that describe and do not rank.

    Gives `effective_rank/<set>`, how many directions are used (RankMe, Garrido et al. 2023);
    `alignment/<set>`, the mean squared distance of two images of one class, and `uniformity/<set>`,
    how evenly the sphere is covered (Wang and Isola 2020; both are better when lower). Standard
    errors by leaving out groups of images.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(SetConfig):
        max_images: PositiveInt = 2000
        """Images that are used, drawn at random from larger sets, the same for every model."""

    def scores(self, sets: Sequence[ZeroShotSet], features: Features) -> list[Score]:
        labelled = sets[0]
        count = len(labelled.labels)
        order = generator(0, "representation", "images", labelled.name).permutation(count)
        chosen = np.sort(order[: self.config.max_images])
        x, labels = features[0][chosen], labelled.labels[chosen]
        gram = x @ x.T
        statistics: dict[str, tuple[Callable[[np.ndarray], float], bool]] = {
            "effective_rank": (lambda rows: effective_rank(x[rows]), True),
            "alignment": (lambda rows: alignment(x[rows], labels[rows]), False),
            "uniformity": (lambda rows: uniformity(gram[np.ix_(rows, rows)]), False),
        }
        found = []
        for name, (statistic, higher) in statistics.items():
            value, stderr = measure_images(statistic, len(x), labelled.name)
            score = Score(
                name=f"{name}/{labelled.name}",
                value=value,
                higher_is_better=higher,
                num_examples=len(x),
                stderr=stderr,
                extra=self.facts(labelled),
            )
            found.append(score)
        return found
