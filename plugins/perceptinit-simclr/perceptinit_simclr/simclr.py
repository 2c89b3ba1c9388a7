"""Self-supervised pretraining with SimCLR's loss as lightly has it (`simclr/nt-xent`)."""

from __future__ import annotations

# B batch of all processes, D embedding
from dataclasses import dataclass
from typing import Any

from lightly.loss import NTXentLoss
from lightly.models.modules import SimCLRProjectionHead
from torch import Tensor

from perceptinit.plugin import (
    NonNegativeInt,
    Objective,
    Pairs,
    PositiveFloat,
    PositiveInt,
    Pretraining,
    Share,
    TrainingConfig,
)


class TwoViews(Objective):
    """SimCLR's loss on a projection of the embeddings; the projection is not part of the model."""

    def __init__(self, config: SimCLR.Config, embed_dim: int) -> None:
        super().__init__()
        self.projection = SimCLRProjectionHead(embed_dim, config.hidden_dim, config.output_dim)
        self._nt_xent = NTXentLoss(config.temperature)

    def loss(self, model: Any, **rows: Tensor) -> Tensor:
        """Return the loss of the features (2 B, D); rows 2 i and 2 i + 1 are the views of sample i."""
        projected = self.projection(rows["image"])
        return self._nt_xent(projected[0::2], projected[1::2])


class SimCLR(Pretraining):
    """Trains the image tower to tell two views of an image from those of the others in the batch.

    Texts are not looked at, and there is no text tower. All else is as with `clip`: loader, schedule,
    precision, several processes (the batch of all is one batch, also for batch norm in the projection), exact
    continuation, and batches that arms have in common. Crops and colours are SimCLR's by default.
    """

    parts = ("image",)
    num_views = 2

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(TrainingConfig):
        lr: PositiveFloat = 1e-3
        """Largest learning rate, reached at the end of the warm-up; AdamW's, where SimCLR has LARS."""
        warmup_steps: NonNegativeInt = 500
        """Steps in which the rate rises linearly; fewer than the run has."""
        crop_scale: tuple[float, float] = (0.08, 1.0)
        """Share of the area that a random box covers, smallest and largest (SimCLR: 0.08 to 1)."""
        flip: bool = True
        """Mirror half of the views (SimCLR does)."""
        jitter: tuple[float, float, float, float] = (0.8, 0.8, 0.8, 0.2)
        """Strength of random brightness, contrast, saturation, hue in 80 % of the views (SimCLR; half of it
        on CIFAR-10)."""
        grey_share: Share = 0.2
        """Share of views that lose their colour (SimCLR: 0.2)."""
        blur_share: Share = 0.5
        """Share of views that are blurred (SimCLR: 0.5; none on CIFAR-10)."""
        temperature: PositiveFloat = 0.1
        """Divides the cosines (SimCLR: 0.1; 0.5 on CIFAR-10)."""
        hidden_dim: PositiveInt = 2048
        """Width of the projection's hidden layer (SimCLR with a ResNet-50: 2048)."""
        output_dim: PositiveInt = 128
        """Length of what the loss compares (SimCLR: 128)."""

    config: Config

    def __init__(self, config: Config, pairs: Pairs) -> None:
        super().__init__(config, pairs)

    def make_objective(self, model: Any) -> Objective:
        """Return the loss with a fresh projection."""
        return TwoViews(self.config, model.embed_dim)
