"""How often a run keeps its state: the recipe's `[checkpoint]`. No result depends on it."""

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
