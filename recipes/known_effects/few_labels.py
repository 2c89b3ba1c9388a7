"""Evaluator `known-effects/few-labels`: a ridge classifier on frozen embeddings of a few labeled photographs.

Recipes list this file in `plugins`.
"""

# N training photographs, M test photographs, C classes, D embedding
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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


class FewLabels:
    """Accuracy of ridge regression from unit embeddings to classes, trained on a few photographs of each class.

    The photographs are drawn from `train` by the seed of the run, so all arms of a seed have the same. The penalty has
    the lowest leave-one-out error. The score is `accuracy/few-labels`.
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
        """Yield the name of the set and the evaluated photographs."""
        yield "few-labels", self.data["test"]["image"]

    @torch.no_grad()
    def evaluate(self, model, ctx) -> Iterator[Score]:
        """Yield the accuracy."""
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
        yield Score(
            name="accuracy/few-labels",
            value=share,
            num_examples=num,
            stderr=float(np.sqrt(share * (1 - share) / num)),
            chance=1 / len(names),
            extra={"penalty": penalty, "per_class": self.config.per_class},
            items=Items(correct, np.arange(num)[:, None]),
        )

    def _embed(self, model, photographs: Sequence[bytes], ctx) -> np.ndarray:
        """Return unit embeddings (N, D)."""
        ids = tuple(str(row) for row in range(len(photographs)))
        images = StimulusImages(Stimuli(ids, photographs, ids), model.image_size, fit=Fit.of(model))
        rows = np.arange(len(photographs))
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
