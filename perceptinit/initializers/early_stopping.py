"""When to stop stage 1, and which weights to keep: those that agree best with held-out judgments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from perceptinit.judgments.two_afc import TwoAFCResult


class EarlyStopping:
    """Keeps the weights of the best measurement; without `patience` it never stops and keeps nothing.

    patience: measurements in a row without a higher 2AFC that are enough. epoch: of the best one so far,
    0 before the first.
    """

    def __init__(self, model: nn.Module, patience: int | None) -> None:
        self._model, self._patience = model, patience
        self.epoch, self._accuracy, self._num_since = 0, float("-inf"), 0
        self._weights: dict[str, torch.Tensor] = {}

    def is_enough(self, epoch: int, result: TwoAFCResult) -> bool:
        """Take note of a measurement of the weights as they are, and say whether training should stop."""
        if self._patience is None:
            return False
        if result.accuracy > self._accuracy:
            self.epoch, self._accuracy, self._num_since = epoch, result.accuracy, 0
            self._weights = {
                k: v.detach().cpu().clone() for k, v in self._model.state_dict().items()
            }
        else:
            self._num_since += 1
        return self._num_since >= self._patience

    def restore(self) -> None:
        """Put the best weights back into the model."""
        if self._weights:
            self._model.load_state_dict(self._weights)

    def state(self) -> dict[str, Any]:
        """Return tensors and plain values that `resume` continues from."""
        return {
            "epoch": self.epoch,
            "accuracy": self._accuracy if self.epoch else None,
            "num_since": self._num_since,
            "weights": self._weights,
        }

    def resume(self, state: Mapping[str, Any]) -> None:
        """Take the place of the one that gave `state`."""
        if state["epoch"]:
            self.epoch, self._accuracy = state["epoch"], state["accuracy"]
            self._num_since, self._weights = state["num_since"], dict(state["weights"])
