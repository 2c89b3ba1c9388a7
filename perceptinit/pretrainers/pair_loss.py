"""The loss of a batch of pairs from the features of both towers: what `clip` lets a child replace."""

from __future__ import annotations

# B batch of all processes, b rows of this process, D embedding
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from perceptinit.compute import distributed
from perceptinit.compute.optim import matmul_precision
from perceptinit.pretrainers.contrastive import contrastive_loss


class PairLoss(nn.Module, ABC):
    """A child gives `whole`. Parameters of its own are trained with the model's and kept in the run's state.

    They have no weight decay where they are scalars or vectors; scalars are logged under their names.
    """

    def forward(self, images: Tensor, texts: Tensor, logit_scale: Tensor) -> Tensor:
        """Return the loss of the whole batch, 0-d, the same in every process.

        images, texts: features (b, D) of this process, of any length and precision; row i of both is
        one pair. Their gradients are those of the whole batch's loss, those of parameters are whole.
        """
        with torch.autocast(images.device.type, enabled=False), matmul_precision("fp32"):
            dtype = torch.promote_types(images.dtype, torch.float32)
            rows = [_Gather.apply(features.to(dtype)) for features in (images, texts)]
            return self.whole(rows[0], rows[1], logit_scale.to(dtype))

    @abstractmethod
    def whole(self, images: Tensor, texts: Tensor, logit_scale: Tensor) -> Tensor:
        """Return the loss, 0-d, of the features (B, D) of all processes, float32 (or float64).

        logit_scale: natural logarithm of the inverse temperature, 0-d.
        """


class SoftmaxLoss(PairLoss):
    """CLIP's loss (see `contrastive_loss`), for which no process needs the features of all images."""

    def forward(self, images: Tensor, texts: Tensor, logit_scale: Tensor) -> Tensor:
        """Return the loss of the whole batch; see PairLoss."""
        return contrastive_loss(images, texts, logit_scale)

    whole = forward


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
