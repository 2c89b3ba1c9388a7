"""Evaluator `known-effects/few-labels`: a ridge classifier on frozen embeddings of a few labeled photographs.

Recipes list this file in `plugins`.
"""

# N training photographs, M test photographs, C classes, D embedding
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import nn

from perceptinit.plugin import (
    Component,
    Fit,
    Items,
    PositiveInt,
    Score,
    Stimuli,
    StimulusImages,
    embed,
    generator,
    hookimpl,
)

PENALTIES = np.logspace(-4, 2, 25)  # times the mean squared length of the centered embeddings


@hookimpl
def perceptinit_evaluators() -> list[Component]:
    return [
        Component(
            name="known-effects/few-labels",
            target=f"{__name__}:FewLabels",
            summary="accuracy of a ridge classifier on the embeddings of a few labeled photographs",
        )
    ]


def stimulus_images(photographs: Sequence[bytes], model) -> StimulusImages:
    """Return photographs in the size of a model."""
    ids = tuple(str(row) for row in range(len(photographs)))
    return StimulusImages(Stimuli(ids, photographs, ids), model.image_size, fit=Fit.of(model))


@contextmanager
def statistics_of(photographs: Sequence[bytes], model, ctx, batch_size: int) -> Iterator[None]:
    """Estimate mean and variance of every batch normalization on photographs, as means over batches, for the block.

    Source: Li et al. 2017, "Revisiting batch normalization for practical domain adaptation".
    """
    layers = [layer for layer in model.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    before = [
        (layer, layer.momentum, {k: v.clone() for k, v in layer.state_dict().items()}) for layer in layers
    ]
    images = stimulus_images(photographs, model)
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a mean over batches
        layer.train()
    for start in range(0, len(photographs) if layers else 0, batch_size):
        rows = np.arange(start, min(start + batch_size, len(photographs)))
        model.encode_image(images[rows].to(ctx.device))
    for layer in layers:
        layer.eval()
    try:
        yield
    finally:
        for layer, momentum, state in before:
            layer.momentum = momentum
            layer.load_state_dict(state)


class FewLabels:
    """Accuracy of ridge regression from unit embeddings to classes, trained on a few photographs of each class.

    The photographs are drawn from `train` by the seed of the run, so all arms of a seed have the same. The penalty has
    the lowest leave-one-out error. The scores are `accuracy/few-labels`, for which batch normalization has the
    statistics of all photographs of `train`, without their labels, and `accuracy/few-labels-as-trained`, with the
    statistics of the model. Stage 1 leaves those of the judged images.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        train: Path
        """Parquet file of photographs (`image`, `class`) from which the labeled ones are drawn."""
        test: Path
        """Parquet file of the evaluated photographs."""
        num_test: PositiveInt = 2000
        """Number of evaluated photographs, the first rows of `test`."""
        per_class: PositiveInt = 10
        """Labeled photographs of each class."""
        batch_size: PositiveInt = 100
        """Photographs per batch."""
        only_as_trained: bool | None = None
        """Whether to report only the score with the statistics of the model; None for both."""

    def __init__(self, config):
        self.config = config

    @cached_property
    def data(self) -> dict[str, dict[str, list]]:
        """The columns of both files; read once for all evaluations of a run."""
        import pyarrow.parquet as parquet

        train = parquet.read_table(self.config.train, columns=["image", "class"])
        test = parquet.read_table(self.config.test, columns=["image", "class"])
        return {"train": train.to_pydict(), "test": test.slice(0, self.config.num_test).to_pydict()}

    def preflight(self) -> Iterator[str]:
        """Yield a file that does not exist."""
        for key in ("train", "test"):
            path = getattr(self.config, key)
            if not path.is_file():
                yield f'{key} = "{path}": not found. Make it with recipes/known_effects/prepare.py'

    def evaluated_images(self) -> Iterator[tuple[str, Sequence[bytes]]]:
        """Yield the names of the scores and the evaluated photographs."""
        for name in self._names:
            yield name, self.data["test"]["image"]

    @property
    def _names(self) -> tuple[str, ...]:
        return ("few-labels-as-trained", "few-labels")[: 1 if self.config.only_as_trained else 2]

    @torch.no_grad()
    def evaluate(self, model, ctx) -> Iterator[Score]:
        """Yield one or both accuracies."""
        yield self._score("few-labels-as-trained", model, ctx)
        if self.config.only_as_trained:
            return
        with statistics_of(self.data["train"]["image"], model, ctx, self.config.batch_size):
            yield self._score("few-labels", model, ctx)

    def _score(self, name: str, model, ctx) -> Score:
        train, test = self.data["train"], self.data["test"]
        names = sorted(set(train["class"]))
        drawn = draw(train["class"], names, self.config.per_class, ctx.seed)
        labels = np.array([names.index(train["class"][row]) for row in drawn])
        truth = np.array([names.index(name) for name in test["class"]])
        z_train = self._embed(model, [train["image"][row] for row in drawn], ctx)
        z_test = self._embed(model, test["image"], ctx)
        predicted, penalty = ridge(z_train, np.eye(len(names))[labels], z_test)
        correct = (predicted.argmax(axis=1) == truth).astype(float)
        share, num = float(correct.mean()), len(correct)
        return Score(
            name=f"accuracy/{name}",
            value=share,
            num_examples=num,
            stderr=float(np.sqrt(share * (1 - share) / num)),
            chance=1 / len(names),
            extra={"penalty": penalty, "per_class": self.config.per_class},
            items=Items(correct, np.arange(num)[:, None]),
        )

    def _embed(self, model, photographs: Sequence[bytes], ctx) -> np.ndarray:
        """Return unit embeddings (N, D)."""
        images, rows = stimulus_images(photographs, model), np.arange(len(photographs))
        return embed(model.encode_image, images, rows, device=ctx.device, batch_size=self.config.batch_size)


def draw(classes: Sequence[str], names: Sequence[str], per_class: int, seed: int) -> list[int]:
    """Return the rows of `per_class` photographs of each class."""
    rng = generator(seed, "few-labels")
    found = []
    for name in names:
        members = [row for row, own in enumerate(classes) if own == name]
        found += rng.permutation(members)[:per_class].tolist()
    return found


def ridge(x: np.ndarray, y: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, float]:
    """Return predictions (M, C) of ridge regression with an intercept, and the penalty.

    The penalty has the lowest mean squared leave-one-out error.

    Args:
        x: Embeddings, shape (N, D).
        y: Targets, shape (N, C).
        test: Embeddings, shape (M, D).
    """
    mean, offset = x.mean(axis=0), y.mean(axis=0)
    centered = x - mean
    values, vectors = np.linalg.eigh(centered @ centered.T)
    scale = values.sum() / len(x)
    projected = vectors.T @ (y - offset)
    errors = []
    for penalty in PENALTIES * scale:
        shrunk = values / (values + penalty)
        residuals = y - offset - vectors @ (shrunk[:, None] * projected)
        leverage = (np.square(vectors) * shrunk).sum(axis=1) + 1 / len(x)
        errors.append(np.square(residuals / (1 - leverage)[:, None]).mean())
    penalty = float(PENALTIES[int(np.argmin(errors))] * scale)
    weights = vectors @ (projected / (values + penalty)[:, None])
    return (test - mean) @ centered.T @ weights + offset, penalty
