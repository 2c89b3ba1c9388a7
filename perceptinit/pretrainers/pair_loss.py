"""The loss of a batch of pairs from the features of both towers: what `clip` lets a child replace."""

from __future__ import annotations

# B batch of all processes, b rows of this process, D embedding
import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from perceptinit.compute import distributed
from perceptinit.compute.optim import matmul_precision
from perceptinit.pairs.batches import PairBatch
from perceptinit.pretrainers.chunked_loss import ChunkedLoss
from perceptinit.pretrainers.objective import Objective

# rows up to which the matrix of all logits is made at once: 4 MB, and the fastest way
PLAIN_ROWS = 1024


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


def contrastive_loss(image_features: Tensor, text_features: Tensor, logit_scale: Tensor) -> Tensor:
    """Return the mean cross-entropy of finding each image's text and each text's image, 0-d.

    image_features, text_features: (b, D), of any length; row i of both is one pair. Every process
    gives as many rows, and all get the loss of the whole batch. Its gradient by the features is
    that of the whole batch; parameters that each process has a copy of need the sum over processes.
    logit_scale: natural logarithm of the inverse temperature, 0-d; its gradient is whole everywhere.
    Computed in float32 (float64 for such features) whatever the autocast, for bfloat16 cannot tell
    close logits apart.
    Source: Radford et al. 2021, figure 3 (also InfoNCE, van den Oord et al. 2018).
    """
    with torch.autocast(image_features.device.type, enabled=False), matmul_precision("fp32"):
        dtype = torch.promote_types(image_features.dtype, torch.float32)
        images, texts = image_features.to(dtype), text_features.to(dtype)
        scale = logit_scale.to(dtype).exp()
        if distributed.world_size() == 1 and len(images) <= PLAIN_ROWS:
            return plain_loss(images, texts, scale)
        return ChunkedLoss.apply(images, texts, scale)


def plain_loss(images: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
    """Return the loss of rows (B, D) in one process, through the matrix of all logits."""
    logits = scale * F.normalize(images, dim=-1) @ F.normalize(texts, dim=-1).T
    pair = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, pair) + F.cross_entropy(logits.T, pair)) / 2
