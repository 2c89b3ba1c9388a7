"""Contrastive image-text pretraining (`clip`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from perceptinit.configs import PositiveFloat
from perceptinit.errors import DataError
from perceptinit.pairs.texts import find_empty
from perceptinit.pretrainers.pair_loss import PairLoss, SoftmaxLoss
from perceptinit.pretrainers.preparation import Lock, lock_parameters
from perceptinit.pretrainers.pretraining import Pretraining
from perceptinit.pretrainers.training_config import TrainingConfig


class Clip(Pretraining):
    """Trains both towers and the temperature with CLIP's symmetric softmax loss.

    AdamW with a linear warm-up and a cosine that ends at the last step; both count optimiser steps.
    Batches, crops and dropout depend on the run's seed and the step alone, so arms see the same
    batches and an interrupted run goes on exactly. `data_sha256` is a fingerprint of the batches so
    far: keys, token ids, and a sample of the pixels.

    A child with another loss gives `make_loss`, and `begin` where the model is to start otherwise.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(TrainingConfig):
        lock: Lock = "none"
        """What is not trained: "image" (LiT) or "text", a tower; "patches", the layer that embeds an
        image's patches (MoCo v3, DeCLIP); or "none"."""
        max_logit_scale: PositiveFloat = 100.0
        """Largest inverse temperature (CLIP: 100)."""
        min_logit_scale: PositiveFloat | None = None
        """Smallest inverse temperature; 1 unless given (DeCLIP: e^3)."""

        def __post_init__(self) -> None:
            TrainingConfig.__post_init__(self)  # slots: super() would not find its class
            least = 1.0 if self.min_logit_scale is None else self.min_logit_scale
            if self.max_logit_scale < least:
                raise ValueError(f"max_logit_scale = {self.max_logit_scale:g} is below {least:g}")

    config: Config

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
        stack.enter_context(lock_parameters(model, self.config.lock))
