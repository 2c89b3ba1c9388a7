"""Contrastive image-text pretraining (`clip`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from perceptinit.errors import DataError
from perceptinit.pairs.texts import find_empty
from perceptinit.pretrainers.clip_config import ClipConfig
from perceptinit.pretrainers.pair_loss import PairLoss, SoftmaxLoss
from perceptinit.pretrainers.preparation import locked
from perceptinit.pretrainers.pretraining import Pretraining
from perceptinit.protocols import Pairs


class Clip(Pretraining):
    """Trains both towers and the temperature with CLIP's symmetric softmax loss.

    AdamW with a linear warm-up and a cosine that ends at the last step; both count optimiser steps.
    Batches, crops and dropout depend on the run's seed and the step alone, so arms see the same
    batches and an interrupted run goes on exactly. `data_sha256` is a fingerprint of the batches so
    far: keys, token ids, and a sample of the pixels.

    A child with another loss gives `make_loss`, and `begin` where the model is to start otherwise.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(ClipConfig):
        pass

    config: ClipConfig

    def __init__(self, config: Config, pairs: Pairs) -> None:
        super().__init__(config, pairs)

    def make_loss(self) -> PairLoss:
        """Return the loss of a batch of pairs, on any device."""
        return SoftmaxLoss()

    def make_objective(self, model: Any) -> PairLoss:
        """Return the loss, which keeps the temperature in its bounds."""
        loss = self.make_loss()
        loss.max_logit_scale = self.config.max_logit_scale
        loss.min_logit_scale = self.config.min_logit_scale or 1.0
        return loss

    def preflight(self) -> Iterator[str]:
        """Yield why it could not train: no captions, or what any pretraining lacks."""
        try:
            yield from find_empty(self.pairs)
        except DataError:
            return  # what the pairs lack, their own preflight tells
        yield from super().preflight()

    def change(self, stack: ExitStack, model: Any) -> None:
        """Freeze a tower for the stage, where that is wanted."""
        stack.enter_context(locked(model, self.config.lock))
