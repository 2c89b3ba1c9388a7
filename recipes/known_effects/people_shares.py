"""Components of beyond_labels.toml: how well a classifier predicts people's label shares, and computed answers.

Recipes list this file in `plugins`. The data is made by prepare_ties.py.
"""

# N photographs, C classes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from perceptinit.plugin import (
    Component,
    Fit,
    Items,
    PositiveInt,
    Score,
    Stimuli,
    StimulusImages,
    Wrapper,
    hookimpl,
)

NUM_BINS = 15
NUM_HALVINGS = 60
MOST_INVERSE = 1e4  # inverse temperature


@hookimpl
def perceptinit_evaluators() -> list[Component]:
    return [
        Component(
            name="known-effects/people-shares",
            target=f"{__name__}:PeopleShares",
            summary="cross-entropy of a classifier with people's label shares",
        )
    ]


@hookimpl
def perceptinit_judgments() -> list[Component]:
    return [
        Component(
            name="known-effects/computed",
            target=f"{__name__}:Computed",
            summary="mark the answers of a table as computed",
        )
    ]


class Computed(Wrapper):
    """Other judgments, unchanged, whose training answers were computed by a program (control)."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        pass

    about = "training answers computed (control)"

    @property
    def card(self):
        return replace(super().card, by_people=False)

    def change(self, triplets):
        """Return the triplets."""
        return triplets


@dataclass(frozen=True, slots=True)
class Labeled:
    """Photographs with their official class, int64 (N,), and the share of people who gave each label, (N, C)."""

    photographs: Stimuli
    labels: np.ndarray
    shares: np.ndarray


class PeopleShares:
    """Cross-entropy with people's label shares, in nats, after temperature scaling (Guo et al. 2017).

    One temperature is fitted on the photographs of `tuning`. Scores are `cross-entropy/shares` and
    `calibration_error/shares`, for which lower is better, the top-1 accuracy `accuracy/shares`, and the cross-entropy on
    the photographs of `tuning`, `tuning_loss/shares`, to choose learning rates.
    """

    needed_part = "head"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        tuning: Path
        """Parquet file of the photographs on which the temperature is fitted."""
        test: Path
        """Parquet file of the evaluated photographs: `image`, `class` and one column of shares for each class."""
        batch_size: PositiveInt = 256
        """Photographs per batch."""

    def __init__(self, config):
        self.config = config

    @cached_property
    def data(self) -> dict[str, object]:
        """The tables by key; read once for all evaluations of a run."""
        import pyarrow.parquet as parquet

        return {key: parquet.read_table(getattr(self.config, key)) for key in ("tuning", "test")}

    def preflight(self) -> Iterator[str]:
        """Yield a file that does not exist."""
        for key in ("tuning", "test"):
            path = getattr(self.config, key)
            if not path.is_file():
                yield f'{key} = "{path}": not found. Make it with recipes/known_effects/prepare_ties.py'

    def evaluated_images(self) -> Iterator[tuple[str, Sequence[bytes]]]:
        """Yield the name of the set and the evaluated photographs."""
        yield "shares", self.data["test"]["image"].to_pylist()

    @torch.no_grad()
    def evaluate(self, model, ctx) -> Iterator[Score]:
        """Yield the cross-entropy, the accuracy and the calibration error on `test`."""
        names = model.classnames
        tuning, test = (read(self.data[key], names) for key in ("tuning", "test"))
        logits = self._logits(model, tuning, ctx)
        inverse = fit_inverse_temperature(logits, tuning.shares)
        fitted = cross_entropies(log_softmax(inverse * logits), tuning.shares)
        log_p = log_softmax(inverse * self._logits(model, test, ctx))
        losses = cross_entropies(log_p, test.shares)
        correct = (log_p.argmax(axis=1) == test.labels).astype(float)
        extra = {"temperature": 1 / inverse}
        yield Score(name="cross-entropy/shares", **mean_of(losses), higher_is_better=False, extra=extra)
        yield Score(name="accuracy/shares", **mean_of(correct), chance=1 / len(names))
        error = calibration_error(np.exp(log_p).max(axis=1), correct)
        yield Score(
            name="calibration_error/shares", value=error, num_examples=len(correct), higher_is_better=False
        )
        yield Score(name="tuning_loss/shares", **mean_of(fitted), higher_is_better=False)

    def _logits(self, model, labeled: Labeled, ctx) -> np.ndarray:
        images = StimulusImages(labeled.photographs, model.image_size, fit=Fit.of(model))
        parts = []
        for rows in np.array_split(
            np.arange(len(labeled.labels)), -(-len(labeled.labels) // self.config.batch_size)
        ):
            parts.append(model.classify(images[rows].to(ctx.device)).double().cpu())
        return torch.cat(parts).numpy()


def mean_of(values: np.ndarray) -> dict[str, object]:
    """Return the mean of the values of photographs, (N,), as fields of a `Score`."""
    num = len(values)
    stderr = float(values.std(ddof=1) / np.sqrt(num))
    items = Items(values, np.arange(num)[:, None])
    return {"value": float(values.mean()), "num_examples": num, "stderr": stderr, "items": items}


def read(table, names: Sequence[str]) -> Labeled:
    """Return the photographs of a table, with shares in the order of the classes `names`."""
    classes = table["class"].to_pylist()
    ids = tuple(str(row) for row in range(len(classes)))
    labels = np.array([names.index(name) for name in classes])
    shares = np.stack([table[name].to_numpy() for name in names], axis=1)
    return Labeled(Stimuli(ids, table["image"].to_pylist(), tuple(classes)), labels, shares)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Return the log-probabilities of logits (N, C)."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def cross_entropies(log_p: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return the cross-entropy of each photograph in nats, (N,), of log-probabilities with shares, (N, C) each."""
    return -(shares * log_p).sum(axis=1)


def fit_inverse_temperature(logits: np.ndarray, shares: np.ndarray) -> float:
    """Return the inverse temperature with the lowest cross-entropy, which is convex in it, by bisection.

    Args:
        logits: Shape (N, C).
        shares: Target probabilities, shape (N, C).
    """
    low, high = 0.0, MOST_INVERSE
    for _ in range(NUM_HALVINGS):
        inverse = (low + high) / 2
        slope = ((np.exp(log_softmax(inverse * logits)) - shares) * logits).sum(axis=1).mean()
        low, high = (low, inverse) if slope > 0 else (inverse, high)
    return (low + high) / 2


def calibration_error(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Return the mean difference between confidence and accuracy in bins of equal width (Naeini et al. 2015)."""
    bins = np.minimum((confidence * NUM_BINS).astype(int), NUM_BINS - 1)
    gaps = np.abs(np.bincount(bins, confidence - correct))
    return float(gaps.sum() / len(correct))
