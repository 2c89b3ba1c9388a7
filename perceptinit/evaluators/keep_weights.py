"""Keep the weights at each evaluation (`keep-weights`), so that they can be measured later."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from perceptinit.files.checkpoints import save_weights
from perceptinit.protocols import DualEncoder
from perceptinit.types import RunContext, Score


class KeepWeights:
    """Writes both towers to `weights/samples-<samples seen>.safetensors` in the run's folder; no scores.

    `perceptinit eval RUN --weights all` measures them, with the numbers that the run would have had.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        pass

    def __init__(self, config: Config) -> None:
        self.config = config

    def evaluate(self, model: DualEncoder, ctx: RunContext) -> Iterable[Score]:
        """Write the weights and return no scores; without a run's folder nothing is written."""
        if ctx.folder is None:
            return ()
        state = model.state_dict()
        save_weights(ctx.folder / "weights" / f"samples-{ctx.samples_seen:012d}.safetensors", state)
        return ()
