"""Random initialization (`random`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from perceptinit.initializers.report import reporting
from perceptinit.types import InitReport, RunContext


class Random:
    """Reinitialize all weights of the image tower with the seed of the run.

    Use it to undo an earlier stage, or to measure the effect of another random initialization. An arm without
    an initializer also has random weights, which are the same in every arm.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        pass

    def __init__(self, config: Config) -> None:
        self.config = config

    def initialize(self, model: Any, ctx: RunContext) -> InitReport:
        """Reinitialize the weights of the tower in place."""
        with reporting("random", model, hint="Does the model's 'reset_parameters' change them?") as report:
            model.reset_parameters(ctx.seed_for("random"))
        return report.result
