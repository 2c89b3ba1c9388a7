"""The control that asks whether the sizes of stage 1's weights matter (`norm-matched`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from perceptinit.initializers.report import reporting
from perceptinit.types import InitReport, RunContext


class NormMatched:
    """Scales each matrix and kernel to the norm of a fresh one: put it after a stage 1 in `[[init]]`.

    The tower keeps the directions that stage 1 found, and loses the sizes: the counterpart of
    `statistics-matched`. Gains and biases stay, and what is 0 when fresh or now.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        pass

    def __init__(self, config: Config) -> None:
        self.config = config

    def initialize(self, model: Any, ctx: RunContext) -> InitReport:
        """Scale the weights in place, to the norms of weights drawn under the run's seed."""
        with reporting("norm-matched", model) as report:
            model.reset_parameters(ctx.seed_for("norm-matched"))
            fresh = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
            model.load_state_dict({name: match_norm(own, fresh[name]) for name, own in report.before.items()})
        return report.result


def match_norm(own: Tensor, fresh: Tensor) -> Tensor:
    """Return `own` with the Frobenius norm of `fresh`; vectors and tensors of zeros stay unchanged."""
    if own.ndim < 2 or not own.is_floating_point() or not own.any() or not fresh.any():
        return own
    return own * (fresh.norm() / own.norm())
