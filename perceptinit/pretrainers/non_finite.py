"""What happens when a loss or its gradients are not finite: the samples are written down first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from perceptinit import distributed
from perceptinit.checkpoints import write_json
from perceptinit.errors import TrainingError
from perceptinit.types import RunContext

OnNonFinite = Literal["stop", "skip"]

# steps in a row without a finite loss after which skipping is pointless: the weights are broken
MOST_IN_A_ROW = 10


class NonFiniteSteps:
    """Counts skipped steps, or stops at the first one.

    num_skipped: steps that changed nothing. in_a_row: those since the last one that did.
    """

    def __init__(self, policy: OnNonFinite, ctx: RunContext) -> None:
        self.num_skipped = self.in_a_row = 0
        self._policy, self._ctx = policy, ctx

    def note(self, step: int, loss: float, grad_norm: float, keys: Sequence[str]) -> None:
        """Take account of a step that is not finite; the caller leaves its weights alone.

        keys: samples of this process. Raises TrainingError unless the step is to be skipped.
        """
        everywhere = [key for part in distributed.exchange(list(keys)) for key in part]
        file = self._write(step, loss, grad_norm, everywhere)
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

    def _write(self, step: int, loss: float, grad_norm: float, keys: Sequence[str]) -> str:
        if self._ctx.folder is None:
            return ""
        path = self._ctx.folder / f"not_finite_step_{step:06d}.json"
        facts = {"step": step, "loss": f"{loss:g}", "grad_norm": f"{grad_norm:g}"}
        write_json(path, {**facts, "samples": list(keys)})
        return f" (all in {path})"
