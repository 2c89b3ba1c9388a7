"""What a pretrainer trains for: what goes through which tower, and the loss of what comes out."""

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
    """A child gives `loss`, and `rows` where more than the images of a batch is needed.

    Parameters of its own are trained with the model's, and all of its state is kept in the run's. They have
    no weight decay where they are scalars or vectors; scalars are logged under their names.
    """

    def rows(self, batch: PairBatch, seed: int) -> dict[str, Tensor]:
        """Return what a step needs, by name: the input of each tower, and what the loss alone asks for.

        All have rows for each of this process's samples, in the order of the batch.
        seed: for draws of the step; the same in all processes.
        """
        return {"image": batch.images}

    def forward(self, model: Any, rows: Mapping[str, Tensor]) -> Tensor:
        """Return the loss of the whole batch, 0-d, the same in every process.

        rows: as `rows` gave them, but features (b, D) of any precision in the place of towers' inputs.
        Gradients of features are those of the whole batch's loss, those of parameters are whole.
        """
        device = next(iter(rows.values())).device.type
        with torch.autocast(device, enabled=False), matmul_precision("fp32"):
            return self.loss(model, **{name: _gather(part) for name, part in rows.items()})

    @abstractmethod
    def loss(self, model: Any, **rows: Tensor) -> Tensor:
        """Return the loss, 0-d, of the rows (B, ...) of all processes; features are float32 (or float64).

        Parameters of the model that no tower has, such as a classifier, may be used here.
        """

    @torch.no_grad()
    def after_step(self, model: Any) -> None:
        """Set right what an optimiser step may have brought out of its bounds."""

    def metrics(self, model: Any) -> dict[str, Tensor]:
        """Return scalars to be logged beside the loss, 0-d: by default the objective's own parameters."""
        return {n: p.detach().clone() for n, p in self.named_parameters() if not p.ndim}


def _gather(part: Tensor) -> Tensor:
    if not part.is_floating_point():
        return distributed.gather_rows(part)
    return _Gather.apply(part.to(torch.promote_types(part.dtype, torch.float32)))


class _Gather(torch.autograd.Function):
    """Rows of all processes; each has the whole loss, so its own part of the gradient is its rows'."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.num_rows = len(rows)
        return distributed.gather_rows(rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        first = distributed.rank() * ctx.num_rows
        return gradients[0][first : first + ctx.num_rows]
