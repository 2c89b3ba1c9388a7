"""Handling of steps whose loss or gradient is not finite."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from perceptinit.compute import distributed
from perceptinit.compute.devices import Arriving
from perceptinit.errors import TrainingError, list_some
from perceptinit.files.atomic import write_json
from perceptinit.types import RunContext

OnNonFinite = Literal["stop", "skip"]

# consecutive steps that are not finite, after which the weights are considered broken
MOST_IN_A_ROW = 10


class NonFiniteSteps:
    """Counts steps that are not finite, and warns about each skipped step or raises an error.

    `watch` is called after the work of a step was queued on the device, and `settle` after that of the next
    step. The device is therefore not idle while the host waits for the numbers.

    Args:
        policy: "stop" raises at the first such step, "skip" at the tenth consecutive one.
        ctx: Receives warnings; its folder receives the files.

    Attributes:
        num_skipped: Number of skipped steps.
        in_a_row: Number of consecutive skipped steps up to now.
    """

    def __init__(self, policy: OnNonFinite, ctx: RunContext) -> None:
        self.num_skipped = self.in_a_row = 0
        self._policy = policy
        self._ctx = ctx
        self._watched: tuple[int, Arriving, Sequence[str]] | None = None

    def watch(
        self, step: int, is_finite: Tensor, loss: Tensor, grad_norm: Tensor, keys: Sequence[str]
    ) -> None:
        """Record a step, whose gradients the caller applies only if `is_finite` is true.

        Args:
            step: Number of the step.
            is_finite: bool, 0-d, equal on all ranks.
            loss: 0-d, equal on all ranks.
            grad_norm: 0-d, equal on all ranks.
            keys: Keys of the samples on this rank.
        """
        values = torch.stack([value.detach().float() for value in (is_finite, loss, grad_norm)])
        self._watched = step, Arriving(values), keys

    def settle(self) -> None:
        """Check the step recorded by `watch`.

        Raises:
            TrainingError: If the step is not finite and the policy is "stop", or if it is the tenth in a row.
        """
        if self._watched is None:
            return
        step, arriving, keys = self._watched
        self._watched = None
        is_finite, loss, grad_norm = arriving.numbers()
        if is_finite:
            self.in_a_row = 0
        else:
            self._report(step, loss, grad_norm, keys)

    def _report(self, step: int, loss: float, grad_norm: float, keys: Sequence[str]) -> None:
        everywhere = [key for part in distributed.exchange(list(keys)) for key in part]
        file = ""
        if self._ctx.folder is not None:
            path = self._ctx.folder / f"not_finite_step_{step:06d}.json"
            facts = {"step": step, "loss": f"{loss:g}", "grad_norm": f"{grad_norm:g}"}
            write_json(path, {**facts, "samples": everywhere})
            file = f" (all in {path})"
        problem = f"step {step}: the loss is {loss:g}, the gradient norm {grad_norm:g}"
        samples = f"Samples: {list_some(everywhere)}{file}"
        if self._policy == "stop":
            raise TrainingError(
                f"{problem}. {samples}. Lower lr, increase warmup_steps, or set clip_norm, "
                'precision = "bf16" or on_non_finite = "skip"'
            )
        self.num_skipped += 1
        self.in_a_row += 1
        if self.in_a_row == MOST_IN_A_ROW:
            raise TrainingError(f"{problem}, as in the {MOST_IN_A_ROW - 1} steps before. {samples}")
        self._ctx.warn(f"{problem}: skipped. {samples}")
