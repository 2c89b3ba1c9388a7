"""Pretraining with SigLIP's sigmoid loss (`siglip/sigmoid`)."""

# B batch, D embedding
import math
from dataclasses import dataclass

import torch
from open_clip.loss import SigLipLoss
from torch import Tensor, nn
from torch.nn.functional import normalize

from perceptinit.plugin import Clip, DualEncoder, NonNegativeFloat, PairLoss, PositiveFloat


class SigmoidLoss(PairLoss):
    """SigLIP loss of open_clip, with the bias as a parameter of the loss instead of the model."""

    def __init__(self, bias: float) -> None:
        super().__init__()
        self.logit_bias = nn.Parameter(torch.tensor(bias))
        self._of_whole_batch = SigLipLoss()

    def whole(self, images: Tensor, texts: Tensor, logit_scale: Tensor) -> Tensor:
        """Return -log P(correct), summed over texts and averaged over images, 0-d; see PairLoss."""
        features = normalize(images, dim=-1), normalize(texts, dim=-1)
        return self._of_whole_batch(*features, logit_scale.exp(), self.logit_bias)


class Sigmoid(Clip):
    """Train both towers, the temperature and a bias with the SigLIP loss.

    Schedule, precision, micro-batches, distributed training and exact resumption are those of `clip`. The
    defaults are those of SigLIP.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(Clip.Config):
        lr: PositiveFloat = 1e-3
        """Peak learning rate, reached at the end of warmup (SigLIP: 1e-3)."""
        betas: tuple[float, float] = (0.9, 0.95)
        """AdamW betas (SigLIP: 0.95 for the second, which stabilizes large batches)."""
        weight_decay: NonNegativeFloat = 1e-4
        """AdamW weight decay of matrices and kernels (SigLIP: 1e-4)."""
        clip_norm: NonNegativeFloat = 1.0
        """Maximum gradient norm; 0 disables clipping (SigLIP: 1)."""
        max_logit_scale: PositiveFloat = 10_000.0
        """Maximum inverse temperature; the minimum is 1. SigLIP has no bound."""
        temperature: PositiveFloat = 10.0
        """Initial inverse temperature (SigLIP: 10)."""
        bias: float = -10.0
        """Initial bias of the logits, negative because most pairs do not match (SigLIP: -10)."""

    config: Config

    def make_loss(self) -> PairLoss:
        """Return the loss with its initial bias."""
        return SigmoidLoss(self.config.bias)

    def begin(self, model: DualEncoder) -> None:
        """Set the initial inverse temperature."""
        model.logit_scale.fill_(math.log(self.config.temperature))
