"""Fresh weights (`random`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from perceptinit.initializers.report import reporting
from perceptinit.types import InitReport, RunContext


class Random:
    """Redraws all weights of the image tower under the seed of the run, as the architecture draws them.

    Use it to undo an earlier stage, or to measure the effect of a second draw. An arm without an initializer
    has random weights as well; those are the same in every arm.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        pass

    def __init__(self, config: Config) -> None:
        self.config = config

    def initialize(self, model: Any, ctx: RunContext) -> InitReport:
        """Redraw the weights of the tower in place."""
        with reporting("random", model, hint="Does its 'reset_parameters' redraw them?") as report:
            model.reset_parameters(ctx.seed_for("random"))
        return report.result
