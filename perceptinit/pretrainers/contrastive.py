"""The symmetric softmax loss of CLIP over the whole batch, wherever its rows are."""

from __future__ import annotations

# B batch of all processes, b rows of this process, D embedding
import torch
import torch.nn.functional as F
from torch import Tensor

from perceptinit.compute import distributed
from perceptinit.compute.optim import matmul_precision
from perceptinit.pretrainers.chunked_loss import ChunkedLoss

# rows up to which the matrix of all logits is made at once: 4 MB, and the fastest way
PLAIN_ROWS = 1024


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
