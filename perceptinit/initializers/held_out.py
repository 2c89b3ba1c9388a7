"""Held-out judgments of stage 1: agreement and spread of the tower, and when to stop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from perceptinit.compute.split_encoding import split
from perceptinit.judgments.ceilings import Bounds
from perceptinit.judgments.two_afc import ImageArray, TwoAFCResult, measure
from perceptinit.types import RunContext, Triplets

# share of the spread before stage 1 below which the user is told that it shrank
SHRUNK = 0.1


class HeldOut:
    """Measures 2AFC and embedding spread of `model`, and says when the outcome looks wrong.

    split: what metrics and messages call the triplets. ceiling: of people on them, None where unknown.
    """

    def __init__(
        self,
        model: Any,
        triplets: Triplets,
        images: ImageArray,
        split: str,
        ceiling: Bounds | None,
        ctx: RunContext,
    ) -> None:
        self.split, self.ceiling = split, ceiling
        self._model, self._triplets, self._images, self._ctx = model, triplets, images, ctx

    def measure(self, step: int, total_steps: int) -> TwoAFCResult:
        """Return the result in eval mode, without gradients, and report it as progress at `step`."""
        self._model.eval()
        encode, device = split(self._model.encode_image), self._ctx.device
        result = measure(encode, self._triplets, self._images, device=device)
        scores = {f"2afc_{self.split}": result.accuracy, "spread": result.spread}
        self._ctx.progress(step, total_steps, **scores)
        return result

    def warn_about(self, before: TwoAFCResult, after: TwoAFCResult) -> None:
        """Tell the user of a collapse, of images drawn together, and of agreement that could be chance."""
        apart = f"two images lie {after.spread:.2g} apart on average (cosine distance 0..2"
        if after.is_collapsed:
            self._ctx.warn(
                f"the tower has collapsed: {apart}), so it hardly tells them from each other. Try a lower lr"
            )
        elif after.spread < SHRUNK * before.spread:
            self._ctx.warn(
                f"stage 1 drew all images together: {apart}; {before.spread:.2g} before). A margin far "
                "below that rewards it, and so do votes that contradict each other; it went with a loss of "
                "accuracy after pretraining where that was measured: see the losses in docs/controls.md"
            )
        noise = 2 * (after.stderr or 0.0)
        if after.accuracy <= 0.5 + noise:
            self._ctx.warn(
                f"2AFC on the {self.split} judgments is {after.accuracy:.3f}, within two standard errors of "
                "chance (0.5): the tower learned nothing that people share. Are the votes right?"
            )

    def metrics(self, curve: dict[int, TwoAFCResult], kept: int) -> dict[str, float]:
        """Return results under the names of the report.

        curve: epochs done -> result; 0 is from before training. kept: the epoch whose weights stay.
        """
        before, after, split = curve[0], curve[kept], self.split
        named = {
            f"2afc_{split}_before": before.accuracy,
            f"2afc_{split}_after": after.accuracy,
            "spread_before": before.spread,
            "spread_after": after.spread,
        }
        if self.ceiling is not None:
            lower, upper = self.ceiling
            named |= {f"2afc_{split}_ceiling_lower": lower, f"2afc_{split}_ceiling": upper}
        if after.stderr is not None:
            named[f"2afc_{split}_stderr"] = after.stderr
        return named | {
            f"2afc_{split}_epoch_{epoch:02d}": result.accuracy
            for epoch, result in curve.items()
            if epoch not in (0, kept)
        }


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
            self._weights = {k: v.detach().cpu().clone() for k, v in self._model.state_dict().items()}
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
