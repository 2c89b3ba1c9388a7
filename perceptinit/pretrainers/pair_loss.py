"""The loss of a batch of pairs from the features of both towers: what `clip` lets a child replace."""

from __future__ import annotations

# B batch of all processes, b rows of this process, c rows of a chunk, D embedding
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

# rows up to which the matrix of all logits is made at once: 4 MB, and the fastest way
PLAIN_ROWS = 1024
# logits that exist at a time: 17 MB in fp32, of which two or three tensors live; on a GPU 268 MB, for
# kernels that are worth their launch
CHUNK_LOGITS = 1 << 22
GPU_CHUNK_LOGITS = 1 << 26


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


class ChunkedLoss(torch.autograd.Function):
    """Mean cross-entropy of rows and columns of the cosines times the scale, 0-d, without a B x B matrix.

    Each process goes through its own image rows in chunks, against the text rows of all. A first pass
    finds the log-sum-exp of rows and columns with a running maximum, so no temperature overflows or
    underflows. A second pass computes each chunk again and takes its part of the gradients. Over
    processes, texts are gathered, column sums reduced, and text gradients summed back to their owners.
    That is one B x B product forward and three backward, shared evenly by the processes.
    """

    @staticmethod
    def forward(ctx: Any, image_features: Tensor, text_features: Tensor, scale: Tensor) -> Tensor:
        """Return the loss of the whole batch, the same in every process.

        image_features, text_features: (b, D) of this process, of any length; row i of both is one
        pair. scale: the inverse temperature, 0-d.
        """
        images, image_norms = _unit_rows(image_features)
        texts, text_norms = _unit_rows(text_features)
        all_texts = distributed.gather_rows(texts)
        row_lse, column_lse = _log_sum_exps(images, all_texts, scale)
        own_columns = _own(column_lse, len(images))
        diagonal = (images * texts).sum(dim=1) * scale
        total = (row_lse + own_columns - 2 * diagonal).sum(dtype=torch.float64)
        norms = image_norms, text_norms
        ctx.save_for_backward(images, all_texts, *norms, scale, row_lse, column_lse)
        return (distributed.sum_over_ranks(total) / (2 * len(all_texts))).to(images.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients of the whole batch's loss by this process's rows, and by the scale."""
        images, all_texts, image_norms, text_norms, scale, row_lse, column_lse = ctx.saved_tensors
        d_images, d_texts = torch.empty_like(images), torch.zeros_like(all_texts)
        d_scale = torch.zeros((), dtype=torch.float64, device=images.device)
        first = distributed.rank() * len(images)
        for rows in _chunks(images, all_texts):
            chunk = images[rows]
            pull = _pull((chunk @ all_texts.T).mul_(scale), row_lse[rows], column_lse)
            pull.diagonal(first + rows.start).sub_(2.0)
            torch.mm(pull, all_texts, out=d_images[rows])
            d_texts.addmm_(pull.T, chunk)
            d_scale += (d_images[rows] * chunk).sum(dtype=torch.float64)  # pull times cosines
        factor = grads[0] / (2 * len(all_texts))
        d_own_texts = distributed.sum_to_owners(d_texts)
        texts = _own(all_texts, len(images))
        return (
            _through_norm(d_images, images, image_norms, factor * scale),
            _through_norm(d_own_texts, texts, text_norms, factor * scale),
            distributed.sum_over_ranks(d_scale).to(scale.dtype) * factor,
        )


def _unit_rows(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows of length 1 and the lengths (b, 1) they had; a row of zeros stays one."""
    norms = features.norm(dim=1, keepdim=True).clamp_min_(1e-12)
    return features / norms, norms


def _through_norm(gradient: Tensor, unit: Tensor, norms: Tensor, factor: Tensor) -> Tensor:
    """Return `factor` times the gradient by the rows before they were scaled to unit length; in place."""
    along = (gradient * unit).sum(dim=1, keepdim=True)
    return gradient.addcmul_(unit, along, value=-1).mul_(factor / norms)


def _log_sum_exps(images: Tensor, texts: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Return log-sum-exp of this process's rows (b,), and of all columns over all processes (B,)."""
    row_lse = images.new_empty(len(images))
    highest = images.new_full((len(texts),), -torch.inf)
    total = images.new_zeros(len(texts))
    for rows in _chunks(images, texts):
        logits = (images[rows] @ texts.T).mul_(scale)
        row_lse[rows] = logits.logsumexp(dim=1)
        before, highest = highest, torch.maximum(highest, logits.amax(dim=0))
        total *= (before - highest).exp_()
        total += logits.sub_(highest).exp_().sum(dim=0)
    overall = distributed.max_over_ranks(highest)
    total = distributed.sum_over_ranks(total * (highest - overall).exp_())
    return row_lse, overall + total.log_()


def _pull(logits: Tensor, row_lse: Tensor, column_lse: Tensor) -> Tensor:
    """Return the probabilities by row plus those by column, (c, B); overwrites the logits."""
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
