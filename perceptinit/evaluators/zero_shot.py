"""Zero-shot classification of images with class names (`zero-shot`)."""

# N images, C classes, D embedding
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from perceptinit.compute.optim import Precision
from perceptinit.errors import DataError
from perceptinit.evaluators.classifier import Classifiers, set_prompts
from perceptinit.evaluators.features import ALONE, Encoding, Joint, Subjects, embed_images
from perceptinit.evaluators.metrics import (
    average_precision,
    mean_per_class_recall,
    measure_images,
    share_score,
)
from perceptinit.evaluators.readable import mark_incomplete, readable_rows
from perceptinit.evaluators.set_measure import SetMeasure, SuiteConfig, main_score
from perceptinit.protocols import DualEncoder
from perceptinit.test_sets.sets import ZeroShotSet, find_set
from perceptinit.types import RunContext, Score


class ZeroShot(SetMeasure):
    """Accuracy of predicting the class whose text embedding is closest to the image embedding.

    The scores of a set are `top1/<set>`, `top5/<set>` (for more than 5 classes) and
    `mean_per_class_recall/<set>` (over classes with images), or `mean_average_precision/<set>` for a
    multi-label set. Sets of the suites also have `main/<set>`, the main metric of the set. Chance for `top1`
    is one over the number of classes. Standard errors assume independent images. The record contains the
    recall of each class. Images are resized and cropped as in open_clip's evaluation. In fp32, the scores
    equal those of clip-benchmark with `--no_amp`.
    """

    needed_part = "text"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(SuiteConfig):
        kinds = ("classification", "multilabel")

    @torch.no_grad()
    def evaluate_many(
        self, models: Sequence[DualEncoder], ctx: RunContext, joint: Joint = ALONE
    ) -> list[list[Score]]:
        encoding = Encoding.of(self.config, ctx, joint)
        sets = {}
        for name in self.present(ctx, "zero-shot"):
            with joint.guard(name):
                sets[name] = self.read(name)
        prompts = {name: set_prompts(test_set) for name, test_set in sets.items()}
        folder = joint.cache_folder / "classifiers" if joint.cache_folder else None
        make = Classifiers(encoding.precision, encoding.batch_size, folder).make
        classifiers = [make(model, prompts, ctx.device) for model in models]
        subjects = Subjects.of(models)
        results: list[list[Score]] = [[] for _ in models]
        for name, test_set in sets.items():
            with joint.guard(name):
                ranked = self._rank(test_set, subjects, [c[name] for c in classifiers], encoding)
                rows = readable_rows(test_set, encoding.merge, ctx.warn)
                kept = test_set.only(rows)
                for result, ranking in zip(results, ranked, strict=True):
                    found = scores(kept, ranking[rows], encoding.precision)
                    result += mark_incomplete(found, [test_set], [rows])
        return results

    def read(self, dataset: str) -> ZeroShotSet:
        """Return a set; DataError for a set without labels."""
        test_set = self.choice.read(dataset)
        if not isinstance(test_set, ZeroShotSet):
            raise DataError(
                f"test set '{dataset}' contains captions instead of labels. Use evaluator 'retrieval'"
            )
        return test_set

    def _rank(
        self,
        test_set: ZeroShotSet,
        subjects: Subjects,
        classifiers: Sequence[torch.Tensor],
        encoding: Encoding,
    ) -> list[np.ndarray]:
        """Return each model's nearest classes per image, int64 (N, up to 5), or all similarities (N, C)."""
        num_classes = len(test_set.classnames)
        keep_all = test_set.is_multilabel  # the multi-label metric sorts by class
        shape = len(test_set.labels), num_classes if keep_all else min(5, num_classes)
        arrays = [np.zeros(shape, np.float32 if keep_all else np.int64) for _ in classifiers]
        for rows, batch in embed_images(subjects, test_set, encoding):
            for array, features, classifier in zip(arrays, batch, classifiers, strict=True):
                similarity = features @ classifier.T
                best = similarity if keep_all else similarity.topk(shape[1], dim=1).indices
                array[rows] = best.cpu().numpy()
        return [encoding.merge(array) for array in arrays]


def scores(test_set: ZeroShotSet, ranked: np.ndarray, precision: Precision) -> list[Score]:
    """Return the scores of a set.

    Args:
        test_set: The set.
        ranked: Classes by similarity to each image, nearest first, int64 (N, up to 5); for a multi-label set,
            similarities, float (N, C).
        precision: Precision of the towers.
    """
    facts: dict[str, Any] = {
        "num_classes": len(test_set.classnames),
        "num_templates": len(test_set.templates),
        "precision": precision,
        "simulated": test_set.simulated,
    }
    if test_set.class_prompts:
        facts["class_prompts"] = True
    known = find_set(test_set.name)
    if known and known.num_images:
        facts["published_num_images"] = known.num_images
    if test_set.is_multilabel:
        result = [_mean_average_precision(test_set, ranked, facts)]
    else:
        result = _top_scores(test_set, ranked, facts)
    return [*result, *main_score(test_set.name, result)]


def _top_scores(test_set: ZeroShotSet, ranked: np.ndarray, facts: Mapping[str, Any]) -> list[Score]:
    num_classes = len(test_set.classnames)
    correct = ranked == test_set.labels[:, None]
    top1 = correct[:, 0]
    result = [share_score(f"top1/{test_set.name}", top1, 1 / num_classes, facts)]
    if num_classes > 5:
        top5 = correct.any(axis=1)
        result.append(share_score(f"top5/{test_set.name}", top5, 5 / num_classes, facts))
    return [*result, _mean_recall(test_set, top1, facts)]


def _mean_recall(test_set: ZeroShotSet, correct: np.ndarray, facts: Mapping[str, Any]) -> Score:
    num_classes = len(test_set.classnames)
    value, stderr, by_class = mean_per_class_recall(test_set.labels, correct, num_classes)
    return Score(
        name=f"mean_per_class_recall/{test_set.name}",
        value=value,
        num_examples=len(correct),
        stderr=stderr,
        chance=1 / num_classes,
        extra={**facts, "classnames": test_set.classnames, "recall": _round(by_class)},
    )


def _mean_average_precision(
    test_set: ZeroShotSet, similarities: np.ndarray, facts: Mapping[str, Any]
) -> Score:
    """Return the mean average precision over classes, whose chance level is the mean share of positives."""

    def mean_over_classes(rows: np.ndarray) -> float:
        return float(average_precision(similarities[rows], test_set.labels[rows]).mean())

    value, stderr = measure_images(mean_over_classes, len(similarities), test_set.name)
    by_class = average_precision(similarities, test_set.labels)
    return Score(
        name=f"mean_average_precision/{test_set.name}",
        value=value,
        num_examples=len(similarities),
        stderr=stderr,
        chance=float(test_set.labels.mean()),
        extra={**facts, "classnames": test_set.classnames, "average_precision": _round(by_class)},
    )


def _round(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(v) else round(float(v), 6) for v in values]
