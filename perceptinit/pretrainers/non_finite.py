"""What happens when a loss or its gradients are not finite: the samples are written down first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from perceptinit.compute import distributed
from perceptinit.compute.devices import Arriving
from perceptinit.errors import TrainingError
from perceptinit.files.atomic import write_json
from perceptinit.types import RunContext

OnNonFinite = Literal["stop", "skip"]

# steps in a row without a finite loss after which skipping is pointless: the weights are broken
MOST_IN_A_ROW = 10


@dataclass(frozen=True, slots=True, eq=False)
class _Watched:
    step: int
    numbers: Arriving
    keys: Sequence[str]


class NonFiniteSteps:
    """Counts skipped steps, or stops at the first one.

    A step is watched when its work has been given to the device, and settled when that of the next one
    has, so that the device always has work while the host waits for the numbers.

    num_skipped: steps that changed nothing. in_a_row: those since the last one that did.
    """

    def __init__(self, policy: OnNonFinite, ctx: RunContext) -> None:
        self.num_skipped = self.in_a_row = 0
        self._policy, self._ctx = policy, ctx
        self._watched: _Watched | None = None

    def watch(
        self, step: int, is_finite: Tensor, loss: Tensor, grad_norm: Tensor, keys: Sequence[str]
    ) -> None:
        """Remember a step; the caller sees to it that it changes no weights unless it is finite.

        is_finite: bool, loss, grad_norm: 0-d, equal in all processes. keys: samples of this process.
        """
        values = torch.stack([value.detach().float() for value in (is_finite, loss, grad_norm)])
        self._watched = _Watched(step, Arriving(values), keys)

    def settle(self) -> None:
        """Count the watched step; TrainingError when it is not finite, unless such steps are skipped."""
        watched, self._watched = self._watched, None
        if watched is None:
            return
        is_finite, loss, grad_norm = watched.numbers.numbers()
        if is_finite:
            self.in_a_row = 0
        else:
            self._tell(watched.step, loss, grad_norm, watched.keys)

    def _tell(self, step: int, loss: float, grad_norm: float, keys: Sequence[str]) -> None:
        everywhere = [key for part in distributed.exchange(list(keys)) for key in part]
        file = ""
        if self._ctx.folder is not None:
            path = self._ctx.folder / f"not_finite_step_{step:06d}.json"
            facts = {"step": step, "loss": f"{loss:g}", "grad_norm": f"{grad_norm:g}"}
            write_json(path, {**facts, "samples": everywhere})
            file = f" (all in {path})"
        what = f"step {step}: the loss is {loss:g}, the norm of the gradients {grad_norm:g}"
        more = f" and {len(everywhere) - 3} more" if len(everywhere) > 3 else ""
        samples = f"Samples: {', '.join(everywhere[:3])}{more}{file}"
        advice = (
            "Lower lr, lengthen the warm-up or set clip_norm; with fp16, try bf16. "
            'on_non_finite = "skip" leaves such steps out'
        )
        if self._policy == "stop":
            raise TrainingError(f"{what}. {samples}. {advice}")
        self.num_skipped += 1
        self.in_a_row += 1
        if self.in_a_row == MOST_IN_A_ROW:
            raise TrainingError(f"{what}, as in the {MOST_IN_A_ROW - 1} steps before. {samples}")
        self._ctx.warn(f"{what}: skipped. {samples}")
