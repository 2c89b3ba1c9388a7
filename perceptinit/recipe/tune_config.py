"""How the arms are tuned: the recipe's `[tune]`. Runs of the recipe itself do not depend on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Gt, Le

from perceptinit.configs import NonNegativeInt

Scale = Literal["linear", "log"]
Role = Literal["trial", "best"]
Few = Annotated[int, Gt(0), Le(1000)]  # more is a slip, that would be tried for years


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneConfig:
    measure: str
    """Measure of `[tune.eval]` that settings are chosen by, such as "top1"; its mean where there are several sets."""
    trials: Few = 5
    """Settings that a study tries, of which it takes the best (AlgoPerf: 5)."""
    studies: Few = 3
    """Searches that know nothing of each other; an arm gets what its median study found (AlgoPerf: 3)."""
    seed: NonNegativeInt = 1000
    """Seed of the points that are tried, and of the first trial; each trial after it has the next seed."""
    role: Role | None = None
    """Set by `perceptinit tune` in the runs that it makes: "trial", or "best" for an arm at its best settings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """What a key of `[tune.space]` may be, both ends included."""

    low: float
    """Smallest value."""
    high: float
    """Largest value."""
    scale: Scale = "linear"
    """Values are tried evenly on this scale: "linear", or "log" where factors matter, as for learning rates."""

    def __post_init__(self) -> None:
        if self.low >= self.high:
            raise ValueError(f"low = {self.low:g} must be below high = {self.high:g}")
        if self.scale == "log" and self.low <= 0:
            raise ValueError(f'low = {self.low:g}: scale = "log" needs values above 0')
