"""The settings of a recipe that no component owns: `[verdict]`, `[[expect]]`, `[tune]`, `[checkpoint]` and `[slurm]`.

No result of `run` depends on them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Gt, Le

from perceptinit.configs import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

ALL_SETS = "all"
Scale = Literal["linear", "log"]
Role = Literal["trial", "best"]
Few = Annotated[int, Gt(0), Le(1000)]  # more is a slip, that would be tried for years
# before its time is over, a run is asked to save
WARN_SECONDS = 180
LEAST_MINUTES = 5
# sbatch(1): minutes, minutes:seconds, hours:minutes:seconds, days-hours, days-hours:minutes, days-hours:minutes:seconds
_TIME = re.compile(
    r"(?P<m>\d+)(:\d+)?|(?P<h>\d+):(?P<hm>\d+):\d+|(?P<d>\d+)-(?P<dh>\d+)(:(?P<dm>\d+)(:\d+)?)?"
)
_WEIGHT = {"m": 1, "hm": 1, "dm": 1, "h": 60, "dh": 60, "d": 1440}


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictConfig:
    delta: PositiveFloat | None = None
    """Points within which a difference does not matter (hundredths of measures that are no shares). Without it,
    arms cannot be called equivalent."""
    max_seeds: PositiveInt | None = None
    """Most seeds that `run --until-decided` may go up to. Intervals then hold however often one looks on the way."""
    primary: str = ""
    """Score that speaks for the comparison: a name such as "top1/imagenet1k", or a measure such as "top1", averaged over
    its sets. Without it, the first of zero-shot, retrieval and perceptual measures that the runs have."""
    hypothesis: str = ""
    """What is expected, in a sentence, for `preregister`; without it, one that the arms say."""
    noise: PositiveFloat | None = None
    """Standard deviation over seeds of the difference of two equal arms, points, as an A/A run tells it;
    `validate` reckons with it."""
    published_effect: PositiveFloat | None = None
    """Smallest published effect that the experiment is about, points; `validate` warns of a delta above half of it."""
    source: str = ""
    """Where `published_effect` was published."""

    def __post_init__(self) -> None:
        if self.delta is not None and self.delta >= 100:
            raise ValueError(f"delta = {self.delta:g}: points are hundredths of a score, so below 100")
        if self.published_effect is not None and not self.source:
            raise ValueError("published_effect needs its source: where was it published?")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmConfig:
    partition: str | None = None
    """Part of the cluster that the runs go to, as `sinfo` lists them."""
    time: str | None = None
    """Most time of a job, as `sbatch --time` takes it: "8:00:00", "2-12". A run that needs more is asked to save
    three minutes before, and goes back into the queue. Without it, the partition's default."""
    gpus: NonNegativeInt = 1
    """GPUs of each node, with a process of the run for each; 0: one process of each node, on CPUs."""
    nodes: PositiveInt = 1
    """Nodes that share each run."""
    setup: tuple[str, ...] = ()
    """Lines of bash before the run, such as "module load cuda"; one that fails ends the job."""
    options: tuple[str, ...] = ()
    """More options of `sbatch`, such as "--account=vision" or "--cpus-per-task=12"."""

    def __post_init__(self) -> None:
        if self.time is not None and _minutes(self.time) < LEAST_MINUTES:
            raise ValueError(
                f'time = "{self.time}": a run is asked to save {WARN_SECONDS} s before its time is over; give it '
                f"{LEAST_MINUTES} minutes or more"
            )
        strange = [option for option in self.options if not option.startswith("-")]
        if strange:
            raise ValueError(
                f'options: "{strange[0]}" is no option of sbatch; write "--name=value" in one string'
            )

    @property
    def num_processes(self) -> int:
        """Processes of each node."""
        return max(self.gpus, 1)


def _minutes(time: str) -> int:
    found = _TIME.fullmatch(time)
    if not found:
        raise ValueError(
            f'time = "{time}": expected minutes, "hours:minutes:seconds" or "days-hours", such as "8:00:00"'
        )
    return sum(int(found[name] or 0) * weight for name, weight in _WEIGHT.items())
