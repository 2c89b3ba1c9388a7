"""Steps whose loss or gradient is not finite: skipped, or an error that names their samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from perceptinit.compute import distributed
from perceptinit.compute.devices import Arriving
from perceptinit.errors import TrainingError
from perceptinit.files.atomic import write_json
from perceptinit.types import RunContext

OnNonFinite = Literal["stop", "skip"]

# consecutive steps without a finite loss after which the weights are considered broken
MOST_IN_A_ROW = 10


class NonFiniteSteps:
    """Counts steps that are not finite, or stops at the first one.

    A step is watched after its work was queued on the device, and settled after that of the next step. The
    device is therefore never idle while the host waits for the numbers.

    Args:
        policy: "stop" raises at the first such step, "skip" at the tenth consecutive one.
        ctx: Receives warnings; its folder receives the files.

    Attributes:
        num_skipped: Steps that were skipped.
        in_a_row: Consecutive skipped steps up to now.
    """

    def __init__(self, policy: OnNonFinite, ctx: RunContext) -> None:
        self.num_skipped = self.in_a_row = 0
        self._policy, self._ctx = policy, ctx
        self._watched: tuple[int, Arriving, Sequence[str]] | None = None

    def watch(
        self, step: int, is_finite: Tensor, loss: Tensor, grad_norm: Tensor, keys: Sequence[str]
    ) -> None:
        """Remember a step. The caller applies its gradients only if it is finite.

        Args:
            step: Number of the step.
            is_finite: bool, 0-d, equal in all processes.
            loss: 0-d, equal in all processes.
            grad_norm: 0-d, equal in all processes.
            keys: Samples of this process.
        """
        values = torch.stack([value.detach().float() for value in (is_finite, loss, grad_norm)])
        self._watched = step, Arriving(values), keys

    def settle(self) -> None:
        """Count the watched step.

        Raises:
            TrainingError: If it is not finite, and the policy or the number of such steps says to stop.
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
        problem = f"step {step}: the loss is {loss:g}, the norm of the gradients {grad_norm:g}"
        more = f" and {len(everywhere) - 3} more" if len(everywhere) > 3 else ""
        samples = f"Samples: {', '.join(everywhere[:3])}{more}{file}"
        if self._policy == "stop":
            raise TrainingError(
                f"{problem}. {samples}. Lower lr, lengthen the warm-up or set clip_norm; with fp16, try "
                'bf16. on_non_finite = "skip" skips such steps'
            )
        self.num_skipped += 1
        self.in_a_row += 1
        if self.in_a_row == MOST_IN_A_ROW:
            raise TrainingError(f"{problem}, as in the {MOST_IN_A_ROW - 1} steps before. {samples}")
        self._ctx.warn(f"{problem}: skipped. {samples}")
