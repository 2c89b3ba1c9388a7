"""Losses on image-text pairs, from the features of both towers."""

# B batch over all ranks, b rows on this rank, c rows of a chunk, D embedding
import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from perceptinit.compute import distributed
from perceptinit.compute.optim import matmul_precision
from perceptinit.pairs.batches import PairBatch
from perceptinit.pretrainers.objective import Objective

# maximum number of rows for computing all logits at once, which is fastest and takes 4 MB
PLAIN_ROWS = 1024
# logits in a chunk: 17 MB in fp32 for each of two or three tensors; 268 MB on a GPU, to amortize kernel
# launches
CHUNK_LOGITS = 1 << 22
GPU_CHUNK_LOGITS = 1 << 26


class PairLoss(Objective):
    """Base class of losses on pairs, with the temperature of the model. Subclasses define `whole`.

    Attributes:
        min_logit_scale: Minimum inverse temperature.
        max_logit_scale: Maximum inverse temperature.
    """

    min_logit_scale = 1.0
    max_logit_scale = math.inf

    def rows(self, batch: PairBatch, seed: int) -> dict[str, Tensor]:
        """Return the images as "image" and the token ids as "text"."""
        return {"image": batch.images, "text": batch.tokens}

    def loss(self, model: Any, **rows: Tensor) -> Tensor:
        """Return the loss from the features of all ranks and the temperature of the model."""
        return self.whole(rows["image"], rows["text"], model.logit_scale.to(rows["image"].dtype))

    @abstractmethod
    def whole(self, images: Tensor, texts: Tensor, logit_scale: Tensor) -> Tensor:
        """Return the loss of a batch, 0-d.

        Args:
            images: Image features of all ranks, (B, D), float32 or float64, not normalized.
            texts: Text features, (B, D); row i of images and texts is a pair.
            logit_scale: Natural logarithm of the inverse temperature, 0-d.
        """

    @torch.no_grad()
    def after_step(self, model: Any) -> None:
        """Clamp the temperature to its bounds."""
        model.logit_scale.clamp_(math.log(self.min_logit_scale), math.log(self.max_logit_scale))

    def metrics(self, model: Any) -> dict[str, Tensor]:
        """Return the inverse temperature and the scalar parameters of the loss."""
        return {"logit_scale": model.logit_scale.detach().exp(), **super().metrics(model)}


class SoftmaxLoss(PairLoss):
    """CLIP's loss (see `contrastive_loss`), computed without gathering the image features."""

    def forward(self, model: Any, rows: Mapping[str, Tensor]) -> Tensor:
        """Return the loss of the whole batch; see `Objective`."""
        return self.whole(rows["image"], rows["text"], model.logit_scale)

    def whole(self, images: Tensor, texts: Tensor, logit_scale: Tensor) -> Tensor:
        """Return CLIP's loss."""
        return contrastive_loss(images, texts, logit_scale)


def contrastive_loss(image_features: Tensor, text_features: Tensor, logit_scale: Tensor) -> Tensor:
    """Return the mean cross-entropy of identifying each image's text and each text's image.

    Gradients with respect to features are those of the loss of the whole batch. Sum gradients of replicated
    parameters over ranks. The loss is computed in float32 (or float64) even under autocast, because bfloat16
    does not resolve close logits.

    Args:
        image_features: (b, D), not normalized, with the same b on every rank.
        text_features: (b, D), not normalized; row i of images and texts is a pair.
        logit_scale: Natural logarithm of the inverse temperature, 0-d. Its gradient is complete on every
            rank.

    Returns:
        Loss of the whole batch, 0-d, the same on every rank.

    Source: Radford et al. 2021, figure 3 (also InfoNCE, van den Oord et al. 2018).
    """
    with torch.autocast(image_features.device.type, enabled=False), matmul_precision("fp32"):
        dtype = torch.promote_types(image_features.dtype, torch.float32)
        images = image_features.to(dtype)
        texts = text_features.to(dtype)
        scale = logit_scale.to(dtype).exp()
        if distributed.world_size() == 1 and len(images) <= PLAIN_ROWS:
            return plain_loss(images, texts, scale)
        return ChunkedLoss.apply(images, texts, scale)


def plain_loss(images: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
    """Return CLIP's loss of features (B, D) in one process, from the matrix of all logits."""
    logits = scale * F.normalize(images, dim=-1) @ F.normalize(texts, dim=-1).T
    pair = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, pair) + F.cross_entropy(logits.T, pair)) / 2


class ChunkedLoss(torch.autograd.Function):
    """CLIP's loss without a B x B matrix.

    Each rank computes the similarities of its images to the texts of all ranks in chunks. The forward pass
    computes the log-sum-exp of rows and columns with a running maximum, which avoids overflow and underflow
    at any temperature. The backward pass recomputes each chunk. Text features are gathered, column sums are
    reduced, and the gradients of texts are summed on the ranks that own them. Together, the ranks compute one
    B x B product in the forward pass and three in the backward pass.
    """

    @staticmethod
    def forward(ctx: Any, image_features: Tensor, text_features: Tensor, scale: Tensor) -> Tensor:
        """Return the loss of the whole batch, from features (b, D) and a 0-d inverse temperature."""
        images, image_norms = _unit_rows(image_features)
        texts, text_norms = _unit_rows(text_features)
        all_texts = distributed.gather_rows(texts)
        row_lse, column_lse = _log_sum_exps(images, all_texts, scale)
        own_columns = _own(column_lse, len(images))
        diagonal = (images * texts).sum(dim=1) * scale
        total = (row_lse + own_columns - 2 * diagonal).sum(dtype=torch.float64)
        ctx.save_for_backward(images, all_texts, image_norms, text_norms, scale, row_lse, column_lse)
        return (distributed.reduce_over_ranks(total) / (2 * len(all_texts))).to(images.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients with respect to the features of this rank and to the scale."""
        images, all_texts, image_norms, text_norms, scale, row_lse, column_lse = ctx.saved_tensors
        d_images = torch.empty_like(images)
        d_texts = torch.zeros_like(all_texts)
        d_scale = torch.zeros((), dtype=torch.float64, device=images.device)
        first = distributed.rank() * len(images)
        for rows in _chunks(images, all_texts):
            chunk = images[rows]
            d_logits = _add_probabilities((chunk @ all_texts.T).mul_(scale), row_lse[rows], column_lse)
            d_logits.diagonal(first + rows.start).sub_(2.0)
            torch.mm(d_logits, all_texts, out=d_images[rows])
            d_texts.addmm_(d_logits.T, chunk)
            d_scale += (d_images[rows] * chunk).sum(dtype=torch.float64)  # d_logits times cosines
        factor = grads[0] / (2 * len(all_texts))
        d_own_texts = distributed.sum_to_owners(d_texts)
        texts = _own(all_texts, len(images))
        return (
            _through_norm(d_images, images, image_norms, factor * scale),
            _through_norm(d_own_texts, texts, text_norms, factor * scale),
            distributed.reduce_over_ranks(d_scale).to(scale.dtype) * factor,
        )


def _unit_rows(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return normalized rows and their norms (b, 1). Rows of zeros are left unchanged."""
    norms = features.norm(dim=1, keepdim=True).clamp_min_(1e-12)
    return features / norms, norms


def _through_norm(gradient: Tensor, unit: Tensor, norms: Tensor, factor: Tensor) -> Tensor:
    """Return `factor` times the gradient with respect to the unnormalized rows, computed in place."""
    along = (gradient * unit).sum(dim=1, keepdim=True)
    return gradient.addcmul_(unit, along, value=-1).mul_(factor / norms)


def _log_sum_exps(images: Tensor, texts: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Return the log-sum-exp of the rows of this rank (b,) and of all columns (B,)."""
    row_lse = images.new_empty(len(images))
    highest = images.new_full((len(texts),), -torch.inf)
    total = images.new_zeros(len(texts))
    for rows in _chunks(images, texts):
        logits = (images[rows] @ texts.T).mul_(scale)
        row_lse[rows] = logits.logsumexp(dim=1)
        before = highest
        highest = torch.maximum(highest, logits.amax(dim=0))
        total *= (before - highest).exp_()
        total += logits.sub_(highest).exp_().sum(dim=0)
    overall = distributed.reduce_over_ranks(highest, torch.distributed.ReduceOp.MAX)
    total = distributed.reduce_over_ranks(total * (highest - overall).exp_())
    return row_lse, overall + total.log_()


def _add_probabilities(logits: Tensor, row_lse: Tensor, column_lse: Tensor) -> Tensor:
    """Return the softmax over rows plus that over columns, (c, B); overwrites `logits`."""
    by_column = (logits - column_lse).exp_()
    return by_column.add_(logits.sub_(row_lse[:, None]).exp_())


def _chunks(images: Tensor, texts: Tensor) -> Iterator[slice]:
    num_logits = GPU_CHUNK_LOGITS if images.is_cuda else CHUNK_LOGITS
    step = max(1, num_logits // len(texts))
    for start in range(0, len(images), step):
        yield slice(start, min(start + step, len(images)))


def _own(values: Tensor, num_rows: int) -> Tensor:
    first = distributed.rank() * num_rows
    return values[first : first + num_rows]
