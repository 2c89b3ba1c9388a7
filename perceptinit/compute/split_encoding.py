"""Evaluation in several processes: each encodes its share of every batch, and all get all embeddings."""

from __future__ import annotations

# B batch, W processes
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from perceptinit.compute import distributed


class SplitEncoder:
    """A dual encoder whose `encode_image` and `encode_text` divide the work among the processes.

    All processes must call it with the same batches. Other attributes are those of the model.
    """

    def __init__(self, model: Any) -> None:
        self._model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def encode_image(self, images: Tensor) -> Tensor:
        """Return image embeddings (B, D); see DualEncoder."""
        return split(self._model.encode_image)(images)

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Return text embeddings (B, D); see DualEncoder."""
        return split(self._model.encode_text)(tokens)


class SplitTexts(SplitEncoder):
    """A dual encoder that divides texts among the processes; each encodes the images that it decoded."""

    def encode_image(self, images: Tensor) -> Tensor:
        """Return embeddings (B, D) of the images of this process."""
        return self._model.encode_image(images)


def split(encode: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return `encode` with the rows of each call divided among the processes, without gradients."""
    if distributed.world_size() == 1:
        return encode

    def encode_share(inputs: Tensor) -> Tensor:
        num_rows = len(inputs)
        size = -(-num_rows // distributed.world_size())
        rows = torch.arange(size, device=inputs.device) + distributed.rank() * size
        own = encode(inputs[rows.clamp(max=num_rows - 1)])  # the last row repeats, for equal shares
        return distributed.gather_rows(own.detach())[:num_rows]

    return encode_share
