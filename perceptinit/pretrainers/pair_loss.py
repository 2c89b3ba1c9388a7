"""The loss of a batch of pairs from the features of both towers: what `clip` lets a child replace."""

from __future__ import annotations

# B batch of all processes, b rows of this process, D embedding
import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from perceptinit.pairs.batches import PairBatch
from perceptinit.pretrainers.contrastive import contrastive_loss
from perceptinit.pretrainers.objective import Objective


class PairLoss(Objective):
    """A child gives `whole`; the temperature is the model's and is kept in its bounds.

    min_logit_scale, max_logit_scale: smallest and largest inverse temperature.
    """

    min_logit_scale = 1.0
    max_logit_scale = math.inf

    def rows(self, batch: PairBatch, seed: int) -> dict[str, Tensor]:
        """Return the images and their token ids."""
        return {"image": batch.images, "text": batch.tokens}

    def loss(self, model: Any, **rows: Tensor) -> Tensor:
        """Return `whole` of the features and the model's temperature."""
        image, text = rows["image"], rows["text"]
        return self.whole(image, text, model.logit_scale.to(image.dtype))

    @abstractmethod
    def whole(self, images: Tensor, texts: Tensor, logit_scale: Tensor) -> Tensor:
        """Return the loss, 0-d, of the features (B, D) of all processes, float32 (or float64).

        images, texts: of any length; row i of both is one pair.
        logit_scale: natural logarithm of the inverse temperature, 0-d.
        """

    @torch.no_grad()
    def after_step(self, model: Any) -> None:
        """Keep the temperature in its bounds."""
        model.logit_scale.clamp_(math.log(self.min_logit_scale), math.log(self.max_logit_scale))

    def metrics(self, model: Any) -> dict[str, Tensor]:
        """Return the inverse temperature beside the loss's own scalars."""
        return {"logit_scale": model.logit_scale.detach().exp(), **super().metrics(model)}


class SoftmaxLoss(PairLoss):
    """CLIP's loss (see `contrastive_loss`), for which no process needs the features of all images."""

    def forward(self, model: Any, rows: Mapping[str, Tensor]) -> Tensor:
        """Return the loss of the whole batch; see Objective."""
        return self.whole(rows["image"], rows["text"], model.logit_scale)

    def whole(self, images: Tensor, texts: Tensor, logit_scale: Tensor) -> Tensor:
        """Return CLIP's loss."""
        return contrastive_loss(images, texts, logit_scale)
