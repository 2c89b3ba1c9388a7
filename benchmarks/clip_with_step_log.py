"""A plug-in for `train_vs_open_clip.py`: the pretrainer `clip`, which also reports each step on standard error.

A run sends only every tenth step to its trackers, but the comparison needs all steps.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from perceptinit import Component, hookimpl
from perceptinit.pretrainers.clip import Clip
from perceptinit.types import RunContext, StepResult


class ClipWithStepLog(Clip):
    """`clip`, with a line for each step."""

    def steps(self, model: Any, ctx: RunContext) -> Iterator[StepResult]:
        for result in super().steps(model, ctx):
            loss = float(result.metrics["loss"])
            print(f"finished step {result.step}: loss {loss:.4f}", file=sys.stderr, flush=True)
            yield result


@hookimpl
def perceptinit_pretrainers() -> list[Component]:
    return [
        Component(
            name="bench/clip-with-step-log", target=ClipWithStepLog, summary="clip, with a line for each step"
        )
    ]
