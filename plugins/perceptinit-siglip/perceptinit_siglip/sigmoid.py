"""Pretraining with SigLIP's sigmoid loss (`siglip/sigmoid`)."""

from __future__ import annotations

# B batch, D embedding
import math
from dataclasses import dataclass

import torch
from open_clip.loss import SigLipLoss
from torch import Tensor, nn
from torch.nn.functional import normalize

from perceptinit.plugin import Clip, DualEncoder, NonNegativeFloat, PairLoss, PositiveFloat


class SigmoidLoss(PairLoss):
    """SigLIP's loss as open_clip has it, with its bias, a parameter of the loss and not of the model."""

    def __init__(self, bias: float) -> None:
        super().__init__()
        self.logit_bias = nn.Parameter(torch.tensor(bias))
        self._of_whole_batch = SigLipLoss()

    def whole(self, images: Tensor, texts: Tensor, logit_scale: Tensor) -> Tensor:
        """Return the loss per image, 0-d: the sum over all texts of -log P(right answer); see PairLoss."""
        features = normalize(images, dim=-1), normalize(texts, dim=-1)
        return self._of_whole_batch(*features, logit_scale.exp(), self.logit_bias)


class Sigmoid(Clip):
    """Trains both towers, the temperature and a bias with SigLIP's loss.

    All else is `clip`: schedule, precision, micro-batches, several processes, exact continuation. Only
    the defaults are SigLIP's.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(Clip.Config):
        lr: PositiveFloat = 1e-3
        """Largest learning rate, reached at the end of the warm-up (SigLIP: 1e-3)."""
        betas: tuple[float, float] = (0.9, 0.95)
        """AdamW's decay of the two moments (SigLIP: 0.95 for the second, which steadies large batches)."""
        weight_decay: NonNegativeFloat = 1e-4
        """AdamW's decay of matrices and kernels (SigLIP: 1e-4)."""
        clip_norm: NonNegativeFloat = 1.0
        """Largest norm of the gradient, above which it is scaled down; 0 never clips (SigLIP: 1)."""
        max_logit_scale: PositiveFloat = 10_000.0
        """Largest inverse temperature; the smallest is 1. SigLIP has no bound."""
        temperature: PositiveFloat = 10.0
        """Inverse temperature at the first step (SigLIP: 10)."""
        bias: float = -10.0
        """Bias of the logits at the first step: most pairs do not belong together (SigLIP: -10)."""

    config: Config

    def make_loss(self) -> PairLoss:
        """Return the loss with the first bias."""
        return SigmoidLoss(self.config.bias)

    def begin(self, model: DualEncoder) -> None:
        """Set the first temperature."""
        model.logit_scale.fill_(math.log(self.config.temperature))
