"""Objectives of pretraining: the inputs of each tower, and the loss of their features."""

from __future__ import annotations

# B batch of all processes, b rows of this process, D embedding
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from perceptinit.compute import distributed
from perceptinit.compute.optim import matmul_precision
from perceptinit.pairs.batches import PairBatch


class Objective(nn.Module, ABC):
    """Base class of objectives. A subclass defines `loss`, and `rows` if it needs more than the images.

    Its parameters are trained with those of the model, without weight decay for scalars and vectors, and
    scalars are logged. Checkpoints of the run contain its state.
    """

    def rows(self, batch: PairBatch, seed: int) -> dict[str, Tensor]:
        """Return the inputs of a step by name: that of each tower, and further arguments of `loss`.

        Args:
            batch: Samples of this process, on the device.
            seed: For draws of the step; the same in all processes.

        Returns:
            Tensors with the rows of the samples, in the order of the batch. The default is the images.
        """
        return {"image": batch.images}

    def forward(self, model: Any, rows: Mapping[str, Tensor]) -> Tensor:
        """Return the loss of the whole batch, 0-d, the same in every process.

        Gradients with respect to features and parameters are those of the loss of the whole batch.

        Args:
            model: Model in training.
            rows: What `rows` returned, with features (b, D) of any precision instead of the inputs of towers.
        """
        device = next(iter(rows.values())).device.type
        with torch.autocast(device, enabled=False), matmul_precision("fp32"):
            return self.loss(model, **{name: _gather(part) for name, part in rows.items()})

    @abstractmethod
    def loss(self, model: Any, **rows: Tensor) -> Tensor:
        """Return the loss, 0-d.

        Args:
            model: Model in training; the loss may use parameters outside of its towers, such as a classifier.
            **rows: Rows (B, ...) of all processes by name; features (B, D) are float32 or float64.
        """

    @torch.no_grad()
    def after_step(self, model: Any) -> None:
        """Restore bounds that an optimizer step may have violated."""

    def metrics(self, model: Any) -> dict[str, Tensor]:
        """Return further scalars to log, 0-d; the default is the scalar parameters of the objective."""
        return {n: p.detach().clone() for n, p in self.named_parameters() if not p.ndim}


def _gather(part: Tensor) -> Tensor:
    if not part.is_floating_point():
        return distributed.gather_rows(part)
    return _Gather.apply(part.to(torch.promote_types(part.dtype, torch.float32)))


class _Gather(torch.autograd.Function):
    """Gathers rows of all processes, and returns the gradient of the rows of this process."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.num_rows = len(rows)
        return distributed.gather_rows(rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        first = distributed.rank() * ctx.num_rows
        return gradients[0][first : first + ctx.num_rows]
