"""Evaluation in several processes, each of which encodes its share of every batch."""

# B batch, W processes
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from perceptinit.compute import distributed


class SplitEncoder:
    """A dual encoder whose `encode_image` and `encode_text` split batches among the processes.

    All processes must call these with the same batches, and receive all embeddings. Other attributes are
    those of the model.
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
    """A dual encoder that splits texts among the processes; each process encodes the images it decoded."""

    def encode_image(self, images: Tensor) -> Tensor:
        """Return embeddings (B, D) of the images on this rank."""
        return self._model.encode_image(images)


def split(encode: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return a version of `encode` that splits rows among the processes, without gradients."""
    if distributed.world_size() == 1:
        return encode

    def encode_share(inputs: Tensor) -> Tensor:
        num_rows = len(inputs)
        size = -(-num_rows // distributed.world_size())
        rows = torch.arange(size, device=inputs.device) + distributed.rank() * size
        own = encode(inputs[rows.clamp(max=num_rows - 1)])  # repeat the last row for equal shares
        return distributed.gather_rows(own.detach())[:num_rows]

    return encode_share
