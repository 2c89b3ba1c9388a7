"""Fresh weights (`random`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from perceptinit.initializers.report import reporting
from perceptinit.types import InitReport, RunContext


class Random:
    """Draws all weights of the image tower anew under the run's own seed, as the architecture draws them.

    An arm without any initializer has random weights too, the same ones in every arm; this one has
    others: use it to undo an earlier stage, or to see what a second draw alone is worth.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        pass

    def __init__(self, config: Config) -> None:
        self.config = config

    def initialize(self, model: Any, ctx: RunContext) -> InitReport:
        with reporting("random", model, hint="does its 'reset_parameters' draw them anew?") as report:
            model.reset_parameters(ctx.seed_for("random"))
        return report.result
