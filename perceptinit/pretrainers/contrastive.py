"""The symmetric softmax loss of CLIP, and the seam for batches that are spread over processes."""

from __future__ import annotations

# B batch, D embedding
from collections.abc import Callable

import torch
import torch.nn.functional as F

# features (b, D) of this process -> (B, D) of all, in the order of ranks and with gradients
Gather = Callable[[torch.Tensor], torch.Tensor]


def own(features: torch.Tensor) -> torch.Tensor:
    """Gather of a single process: its features are all there are."""
    return features


def contrastive_loss(
    image_features: torch.Tensor,
    text_features: torch.Tensor,
    logit_scale: torch.Tensor,
    gather: Gather = own,
) -> torch.Tensor:
    """Return the mean cross-entropy of finding each image's text and each text's image, 0-d.

    image_features, text_features: (b, D), of any length; row i of both is one pair.
    logit_scale: natural logarithm of the inverse temperature, 0-d.
    Computed in float32 whatever the autocast, for bfloat16 cannot tell close logits apart.
    Source: Radford et al. 2021, figure 3 (also InfoNCE, van den Oord et al. 2018).
    """
    with torch.autocast(image_features.device.type, enabled=False):
        images = F.normalize(gather(image_features).float(), dim=-1)
        texts = F.normalize(gather(text_features).float(), dim=-1)
        logits = logit_scale.float().exp() * images @ texts.T
        pair = torch.arange(len(logits), device=logits.device)
        return (F.cross_entropy(logits, pair) + F.cross_entropy(logits.T, pair)) / 2
