"""A control for the norms of the weights after stage 1 (`norm-matched`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from perceptinit.initializers.report import copy_weights, reporting
from perceptinit.types import InitReport, RunContext


class NormMatched:
    """Scales each matrix and kernel to the Frobenius norm of a fresh one; follows a stage 1 in `[[init]]`.

    The tower keeps the directions of its weights and loses their norms: the counterpart of
    `statistics-matched`. Gains and biases stay, and so do tensors that are 0 now or when fresh.

    Source: this project. No effect is published.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        pass

    def __init__(self, config: Config) -> None:
        self.config = config

    def initialize(self, model: Any, ctx: RunContext) -> InitReport:
        """Scale the weights in place, to the norms of weights drawn under the seed of the run."""
        with reporting("norm-matched", model) as report:
            model.reset_parameters(ctx.seed_for("norm-matched"))
            fresh = copy_weights(model)
            model.load_state_dict({n: _match_norm(own, fresh[n]) for n, own in report.before.items()})
        return report.result


def _match_norm(own: Tensor, fresh: Tensor) -> Tensor:
    if own.ndim < 2 or not own.is_floating_point() or not own.any() or not fresh.any():
        return own
    return own * (fresh.norm() / own.norm())
