"""What a run keeps of its state, and where it may begin from: the recipe's `[checkpoint]`. No result depends on it."""

from __future__ import annotations

from dataclasses import dataclass

from perceptinit.configs import NonNegativeFloat, NonNegativeInt, PositiveInt


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointConfig:
    every_steps: NonNegativeInt = 0
    """Steps of stage 1 or pretraining between two checkpoints; 0: not by steps. Each epoch of pretraining and
    each stage's end has one anyway."""
    every_minutes: NonNegativeFloat = 15.0
    """Minutes between two checkpoints, which is the most that a power cut costs; 0: not by time."""
    keep: PositiveInt = 2
    """Newest checkpoints that are kept; older ones go once a newer one is complete on disk."""
    stages_from: tuple[str, ...] = ()
    """Experiments in the same output folder, by name: stages of `init` that a run has in common with a finished
    run of the same seed there are taken from it. Weights are the same as if they were done again."""
