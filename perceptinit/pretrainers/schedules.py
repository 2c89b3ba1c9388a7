"""timm's schedules of the learning rate by their names, as functions of the step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from timm.scheduler import create_scheduler_v2

ScheduleName = Literal["tanh", "poly", "step", "multistep"]


def timm_schedule(
    name: ScheduleName,
    *,
    lr: float,
    min_lr: float,
    num_steps: int,
    steps_per_epoch: int,
    decay_epochs: Sequence[int],
    decay_rate: float,
) -> Callable[[int], float]:
    """Return the rate of optimiser step 1, 2, ... as timm's training has it when it counts updates.

    decay_epochs: of "step" the one interval, of "multistep" when the rate falls; epochs done.
    decay_rate: factor at each of them; of "poly" the power.
    """
    falls = [epoch * steps_per_epoch for epoch in decay_epochs]
    optimizer = torch.optim.SGD([torch.zeros(())], lr=lr)  # holds the rate for timm
    scheduler, _ = create_scheduler_v2(
        optimizer,
        sched=name,
        num_epochs=num_steps,
        decay_epochs=falls[0] if falls else num_steps,
        decay_milestones=[fall + 1 for fall in falls],  # timm's fall one update before them
        decay_rate=decay_rate,
        min_lr=min_lr,
        step_on_epochs=False,
        updates_per_epoch=1,  # an epoch of timm's is a step: the run may end within one of ours
    )

    def rate(step: int) -> float:
        scheduler.step_update(step - 1)
        return float(optimizer.param_groups[0]["lr"])

    return rate
