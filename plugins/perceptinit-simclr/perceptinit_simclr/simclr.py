"""Self-supervised pretraining with lightly's SimCLR loss (`simclr/nt-xent`)."""

from __future__ import annotations

# B batch over all processes, D embedding
from dataclasses import dataclass
from typing import Any

from lightly.loss import NTXentLoss
from lightly.models.modules import SimCLRProjectionHead
from torch import Tensor

from perceptinit.plugin import (
    NonNegativeInt,
    Objective,
    PositiveFloat,
    PositiveInt,
    Pretraining,
    Share,
    TrainingConfig,
)


class TwoViews(Objective):
    """SimCLR loss with a projection head, which is not part of the model."""

    def __init__(self, config: SimCLR.Config, embed_dim: int) -> None:
        super().__init__()
        self.projection = SimCLRProjectionHead(embed_dim, config.hidden_dim, config.output_dim)
        self._nt_xent = NTXentLoss(config.temperature)

    def loss(self, model: Any, **rows: Tensor) -> Tensor:
        """Return the loss of features (2 B, D), where rows 2 i and 2 i + 1 are the views of sample i."""
        projected = self.projection(rows["image"])
        return self._nt_xent(projected[0::2], projected[1::2])


class SimCLR(Pretraining):
    """Train the image tower to match two views of an image among all views of the batch.

    Texts are ignored, and the model has no text tower. Loader, schedule, precision, exact resumption and
    batches shared between arms are those of `clip`. The loss and the projection head's batch norm use the
    batch of all processes. The default augmentations are those of SimCLR.
    """

    parts = ("image",)
    num_views = 2

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(TrainingConfig):
        lr: PositiveFloat = 1e-3
        """Peak learning rate of AdamW, reached at the end of warmup; SimCLR uses LARS."""
        warmup_steps: NonNegativeInt = 500
        """Steps of linear warmup, fewer than the steps of the run."""
        crop_scale: tuple[float, float] = (0.08, 1.0)
        """Minimum and maximum area of random crops as a share of the image (SimCLR: 0.08 to 1)."""
        flip: bool = True
        """Flip half of the views horizontally, as in SimCLR."""
        jitter: tuple[float, float, float, float] = (0.8, 0.8, 0.8, 0.2)
        """Strength of brightness, contrast, saturation and hue jitter in 80 % of the views, as in SimCLR
        (half of it on CIFAR-10)."""
        grey_share: Share = 0.2
        """Share of views converted to grayscale (SimCLR: 0.2)."""
        blur_share: Share = 0.5
        """Share of views that are blurred (SimCLR: 0.5; none on CIFAR-10)."""
        temperature: PositiveFloat = 0.1
        """Temperature of the softmax over cosine similarities (SimCLR: 0.1; 0.5 on CIFAR-10)."""
        hidden_dim: PositiveInt = 2048
        """Width of the projection head's hidden layer (SimCLR with a ResNet-50: 2048)."""
        output_dim: PositiveInt = 128
        """Output dimension of the projection head (SimCLR: 128)."""

    config: Config

    def make_objective(self, model: Any) -> Objective:
        """Return the loss with a randomly initialized projection head."""
        return TwoViews(self.config, model.embed_dim)
