"""Objectives of pretraining: the inputs of the towers, and the loss of their features."""

# B batch over all ranks, b rows on this rank, D embedding
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from perceptinit.compute import distributed
from perceptinit.compute.optim import matmul_precision
from perceptinit.pairs.batches import PairBatch


class Objective(nn.Module, ABC):
    """Base class of objectives. Subclasses define `loss`, and `rows` if they need more than the images.

    The parameters of an objective are trained with those of the model, without weight decay for scalars and
    vectors. Scalar parameters are logged. Checkpoints of the run contain the state of the objective.
    """

    def rows(self, batch: PairBatch, seed: int) -> dict[str, Tensor]:
        """Return the inputs of a step by name: the input of each tower, and other arguments of `loss`.

        Args:
            batch: Samples of this rank, on the device.
            seed: Seed of the step, the same on all ranks.

        Returns:
            Tensors with one row per sample, in the order of the batch. By default, only the images.
        """
        return {"image": batch.images}

    def forward(self, model: Any, rows: Mapping[str, Tensor]) -> Tensor:
        """Return the loss of the whole batch, 0-d, the same on every rank.

        Gradients with respect to features and parameters are those of the loss of the whole batch.

        Args:
            model: The model being trained.
            rows: The result of `rows`, with features (b, D) of any precision instead of the towers' inputs.
        """
        device = next(iter(rows.values())).device.type
        with torch.autocast(device, enabled=False), matmul_precision("fp32"):
            return self.loss(model, **{name: _gather(part) for name, part in rows.items()})

    @abstractmethod
    def loss(self, model: Any, **rows: Tensor) -> Tensor:
        """Return the loss, 0-d.

        Args:
            model: The model being trained, whose other parameters, such as a classifier, may be used.
            **rows: Rows by name, gathered from all ranks (B, ...); features (B, D) are float32 or float64.
        """

    @torch.no_grad()
    def after_step(self, model: Any) -> None:
        """Enforce bounds on parameters after an optimizer step."""

    def metrics(self, model: Any) -> dict[str, Tensor]:
        """Return scalars to log, 0-d. By default, the scalar parameters of the objective."""
        return {n: p.detach().clone() for n, p in self.named_parameters() if not p.ndim}


def _gather(part: Tensor) -> Tensor:
    if not part.is_floating_point():
        return distributed.gather_rows(part)
    return _Gather.apply(part.to(torch.promote_types(part.dtype, torch.float32)))


class _Gather(torch.autograd.Function):
    """Gather the rows of all ranks; the backward pass returns the gradient of this rank's rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.num_rows = len(rows)
        return distributed.gather_rows(rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        first = distributed.rank() * ctx.num_rows
        return gradients[0][first : first + ctx.num_rows]
