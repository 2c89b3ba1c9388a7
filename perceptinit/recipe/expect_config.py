"""What an arm should score because somebody published it: the recipe's `[[expect]]`. No result depends on it."""

from __future__ import annotations

from dataclasses import dataclass

from perceptinit.configs import PositiveFloat, PositiveInt

ALL_SETS = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectConfig:
    """The keys of `[[expect]]`."""

    arm: str
    """Arm that was trained as the published model was."""
    measure: str
    """Measure of the score, such as top1."""
    data_set: str
    """Data set of the score, as scores call it; "all": the mean over every set of the measure."""
    value: float
    """What was published, in per cent (hundredths of measures that are no shares)."""
    tolerance: PositiveFloat
    """Points that the arm's mean may be away from it: what runs of the published setting differ by."""
    source: str
    """Where it was published."""
    num_sets: PositiveInt | None = None
    """Sets that a published mean is over; a mean over another number is not compared with it."""
    samples_seen: PositiveInt | None = None
    """Pairs that the published model had seen; runs that end more than 1 % away are not compared with it."""

    def __post_init__(self) -> None:
        if not 0 <= self.value <= 100:
            raise ValueError(f"value = {self.value:g}: per cent, so between 0 and 100")
        if self.tolerance >= 100:
            raise ValueError(f"tolerance = {self.tolerance:g}: points, so below 100")
        if not self.source.strip():
            raise ValueError(f"{self.value:g} needs its source: where was it published?")
        if (self.data_set == ALL_SETS) != (self.num_sets is not None):
            raise ValueError('num_sets goes with data_set = "all": over how many sets is the mean?')

    @property
    def score(self) -> str:
        """What is expected to have the value: `top1/imagenet1k`, `main/mean of 32 sets`."""
        sets = f"mean of {self.num_sets} sets"
        return f"{self.measure}/{sets if self.data_set == ALL_SETS else self.data_set}"
