"""From ranked classes to the scores of a zero-shot set."""

from __future__ import annotations

# N images, C classes
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from perceptinit.compute.optim import Precision
from perceptinit.evaluators.metrics import (
    average_precision,
    binomial_stderr,
    jackknife,
    mean_per_class_recall,
)
from perceptinit.results.measures import OTHER
from perceptinit.seeding import generator
from perceptinit.test_sets.sets import ZeroShotSet
from perceptinit.test_sets.suite import find_set
from perceptinit.types import Score


def scores(test_set: ZeroShotSet, ranked: np.ndarray, precision: Precision) -> list[Score]:
    """Return the scores of a set.

    ranked: int64 (N, up to 5), the nearest classes of each image, nearest first; for a multi-label
    set the similarities float (N, C).
    """
    facts = _facts(test_set, precision)
    if test_set.is_multilabel:
        result = [_mean_average_precision(test_set, ranked, facts)]
    else:
        result = _top_scores(test_set, ranked, facts)
    return [*result, *main_score(test_set.name, result)]


def main_score(name: str, result: list[Score]) -> list[Score]:
    """Return `main/<set>`, the measure that stands for a set of the suites; empty for other sets."""
    known = find_set(name)
    if known is None or known.family == OTHER:  # simulated sets are in no average
        return []
    own = next((s for s in result if s.name == f"{known.main}/{name}"), None)
    if own is None:  # a set of this name, but of another kind than the suite's
        return []
    chance = own.chance if known.chance is None else known.chance
    return [replace(own, name=f"main/{name}", chance=chance, extra={"measure": known.main})]


def _facts(test_set: ZeroShotSet, precision: Precision) -> dict[str, Any]:
    known = find_set(test_set.name)
    published = known.num_images if known else None
    return {
        "num_classes": len(test_set.classnames),
        "num_templates": len(test_set.templates),
        "precision": precision,
        "simulated": test_set.simulated,
        **({"class_prompts": True} if test_set.class_prompts else {}),
        **({"published_num_images": published} if published else {}),
    }


def _top_scores(test_set: ZeroShotSet, ranked: np.ndarray, facts: Mapping[str, Any]) -> list[Score]:
    num_classes = len(test_set.classnames)
    correct = ranked == test_set.labels[:, None]
    top1 = correct[:, 0]
    result = [_share(f"top1/{test_set.name}", top1, 1 / num_classes, facts)]
    if num_classes > 5:
        top5 = correct.any(axis=1)
        result.append(_share(f"top5/{test_set.name}", top5, 5 / num_classes, facts))
    return [*result, _mean_recall(test_set, top1, facts)]


def _share(name: str, correct: np.ndarray, chance: float, facts: Mapping[str, Any]) -> Score:
    share, num = float(correct.mean()), len(correct)
    stderr = binomial_stderr(share, num)
    return Score(
        name=name, value=share, num_examples=num, stderr=stderr, chance=chance, extra=facts
    )


def _mean_recall(test_set: ZeroShotSet, correct: np.ndarray, facts: Mapping[str, Any]) -> Score:
    num_classes = len(test_set.classnames)
    value, stderr, by_class = mean_per_class_recall(test_set.labels, correct, num_classes)
    return Score(
        name=f"mean_per_class_recall/{test_set.name}",
        value=value,
        num_examples=len(correct),
        stderr=stderr,
        chance=1 / num_classes,
        extra={**facts, "classnames": test_set.classnames, "recall": _rounded(by_class)},
    )


def _mean_average_precision(
    test_set: ZeroShotSet, similarities: np.ndarray, facts: Mapping[str, Any]
) -> Score:
    """Return the mean over classes of the average precision; chance is the mean share of positives."""

    def mean_over_classes(rows: np.ndarray) -> float:
        return float(average_precision(similarities[rows], test_set.labels[rows]).mean())

    everything = np.ones(len(similarities), dtype=bool)
    by_class = average_precision(similarities, test_set.labels)
    return Score(
        name=f"mean_average_precision/{test_set.name}",
        value=mean_over_classes(everything),
        num_examples=len(similarities),
        stderr=stderr_over_images(mean_over_classes, len(similarities), test_set.name),
        chance=float(test_set.labels.mean()),
        extra={**facts, "classnames": test_set.classnames, "average_precision": _rounded(by_class)},
    )


def stderr_over_images(
    statistic: Callable[[np.ndarray], float], num: int, name: str
) -> float | None:
    """Return the jackknife error of a statistic of a set's images; the groups depend on the set only."""
    return jackknife(statistic, num, generator(0, "evaluators", "jackknife", name))


def _rounded(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(v) else round(float(v), 6) for v in values]
