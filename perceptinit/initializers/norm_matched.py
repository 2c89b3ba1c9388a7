"""Control for the norms of the weights after stage 1 (`norm-matched`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from perceptinit.initializers.report import copy_weights, reporting
from perceptinit.types import InitReport, RunContext


class NormMatched:
    """Scale each matrix and kernel to its Frobenius norm at initialization. Use it after stage 1.

    The weights keep their directions and lose their norms, the opposite of `statistics-matched`. Gains,
    biases and tensors that are 0 now or at initialization do not change.

    Source: this project. No effect is published.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        pass

    def __init__(self, config: Config) -> None:
        self.config = config

    def initialize(self, model: Any, ctx: RunContext) -> InitReport:
        """Scale the weights in place to the norms of a random initialization with the seed of the run."""
        with reporting("norm-matched", model) as report:
            model.reset_parameters(ctx.seed_for("norm-matched"))
            fresh = copy_weights(model)
            model.load_state_dict({n: _match_norm(own, fresh[n]) for n, own in report.before.items()})
        return report.result


def _match_norm(own: Tensor, fresh: Tensor) -> Tensor:
    if own.ndim < 2 or not own.is_floating_point() or not own.any() or not fresh.any():
        return own
    return own * (fresh.norm() / own.norm())
