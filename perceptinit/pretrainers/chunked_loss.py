"""CLIP's loss over any batch without its B x B matrix, and over processes that each hold some rows.

Each process goes through its own image rows in chunks, against the text rows of all. A first pass
finds the log-sum-exp of rows and columns with a running maximum, so no temperature overflows or
underflows; a second pass makes each chunk again and takes its part of the gradients. Over
processes, texts are gathered, column sums reduced, and text gradients summed back to their owners.
That is one B x B product forward and three backward, shared evenly by the processes.
"""

from __future__ import annotations

# B batch of all processes, b rows of this process, c rows of a chunk, D embedding
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from perceptinit.compute import distributed

# logits that exist at a time: 17 MB in fp32, of which two or three tensors live; on a GPU 268 MB, for
# kernels that are worth their launch
CHUNK_LOGITS = 1 << 22
GPU_CHUNK_LOGITS = 1 << 26


class ChunkedLoss(torch.autograd.Function):
    """Mean cross-entropy of rows and columns of the cosines times the scale, 0-d; see the module."""

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
