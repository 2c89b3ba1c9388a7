"""The loss of a classifier on labelled images, with timm's losses and its mixing of images."""

from __future__ import annotations

# B batch of all processes, b rows of this process, C classes, D embedding
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from timm.data import Mixup
from timm.loss import BinaryCrossEntropy, LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
from torch import Tensor, nn

from perceptinit.pairs.batches import PairBatch
from perceptinit.pretrainers.objective import Objective

LossName = Literal["cross-entropy", "bce"]


def make_loss(name: LossName, smoothing: float, is_mixed: bool) -> nn.Module:
    """Return timm's loss; that of mixed images takes targets (B, C), which are smoothed already."""
    if name == "bce":
        return BinaryCrossEntropy(smoothing)
    return SoftTargetCrossEntropy() if is_mixed else LabelSmoothingCrossEntropy(smoothing)


class Classification(Objective):
    """Loss of the model's head on the embeddings; a batch's ids are labels and 1 (see LabelledPairs).

    mixup: timm's, None for images as they are.
    """

    def __init__(self, loss: nn.Module, mixup: Mixup | None) -> None:
        super().__init__()
        self._loss_of = loss
        self._mixup = mixup

    def rows(self, batch: PairBatch, seed: int) -> dict[str, Tensor]:
        """Return the images and their targets: labels int64 (b,), or shares of classes (b, C) of mixed ones."""
        images, labels = batch.images, batch.tokens[:, 0] - 1
        if self._mixup is not None:
            images, labels = mixed(self._mixup, images, labels, seed)
        return {"image": images, "targets": labels}

    def loss(self, model: Any, **rows: Tensor) -> Tensor:
        """Return the mean loss of the batch."""
        return self._loss_of(model.head(rows["image"]), rows["targets"])


def mixed(mixup: Mixup, images: Tensor, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Return images float32 (b, 3, S, S) in [0, 1] and shares of classes (b, C); b is even.

    Each image is mixed with its neighbour, 0 with 1, 2 with 3, ...: timm mixes the first with the last, but
    those may lie in two processes. The order of a batch is random, so it is as good.
    """
    pairs = torch.arange(len(images), device=images.device).view(-1, 2)
    order = torch.cat([pairs[:, 0], pairs[:, 1].flip(0)])
    floats = images[order].float().div_(255)
    with _numpy_seed(seed):
        floats, targets = mixup(floats, labels[order])
    back = order.argsort()
    return floats[back], targets[back]


@contextmanager
def _numpy_seed(seed: int) -> Iterator[None]:
    """Seed numpy's global generator, which timm draws from, for the block, then restore it."""
    state = np.random.get_state()
    np.random.seed(seed % 2**32)
    try:
        yield
    finally:
        np.random.set_state(state)
