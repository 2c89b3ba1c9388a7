"""Tables of a recipe that are not components, such as `[verdict]`, `[[expect]]` and `[jobs]`.

They do not affect the results of `run`.
"""

import re
import shlex
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Gt, Le

from perceptinit.configs import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, pick

ALL_SETS = "all"
LATER = ("spread", "target", "spread_from")  # keys of [verdict] that older plans lack
Scale = Literal["linear", "log"]
Role = Literal["trial", "best"]
Spread = Literal["own", "pooled"]
Few = Annotated[int, Gt(0), Le(1000)]  # larger values are mistakes
WARN_SECONDS = 180  # from Slurm's signal to the end of a job
MIN_MINUTES = 5
# sbatch(1): minutes, minutes:seconds, hours:minutes:seconds, days-hours and days-hours:minutes[:seconds]
_TIME = re.compile(
    r"(?P<m>\d+)(:\d+)?|(?P<h>\d+):(?P<hm>\d+):\d+|(?P<d>\d+)-(?P<dh>\d+)(:(?P<dm>\d+)(:\d+)?)?"
)
_WEIGHT = {"m": 1, "hm": 1, "dm": 1, "h": 60, "dh": 60, "d": 1440}


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictConfig:
    """The keys of `[verdict]`."""

    delta: PositiveFloat | None = None
    """Largest difference that does not matter, in points (hundredths of a score). Needed for equivalence."""
    max_seeds: PositiveInt | None = None
    """Maximum number of seeds for `run --until-decided`. Intervals are corrected for all interim analyses."""
    primary: str = ""
    """Score that decides the comparison: a name such as "top1/imagenet1k", or a measure such as "top1",
    averaged over its sets. Default: the first zero-shot, retrieval or perceptual measure of the runs."""
    hypothesis: str = ""
    """Expected result, in a sentence, for `preregister`. Default: a sentence about the arms."""
    noise: PositiveFloat | None = None
    """Standard deviation over seeds of the difference between two arms, in points, used by `validate` and
    `preregister` to compute power. Take it from earlier runs of the arms; A/A runs can underestimate it."""

    spread: Spread | None = None
    """Spread over seeds in intervals: that of each difference ("own", the default), or one of all arms
    ("pooled"), which needs fewer seeds if the arms vary alike."""

    target: float | None = None
    """Value of the primary score that arms are compared with, in percent for shares."""
    spread_from: str = ""
    """Path of earlier runs whose spread is that of single runs: a folder or a table of scores."""

    def __post_init__(self) -> None:
        if self.delta is not None and self.delta >= 100:
            raise ValueError(f"delta = {self.delta:g}: expected less than 100 points (hundredths of a score)")
        if self.spread == "pooled" and self.max_seeds:
            raise ValueError('spread = "pooled" needs a fixed number of seeds. Remove max_seeds')

    def state(self) -> dict[str, Any]:
        """Return the keys that affect conclusions, with those of later versions only if they are stated."""
        later = {key: value for key, value in pick(self, *LATER).items() if value not in (None, "")}
        return pick(self, "delta", "max_seeds", "primary") | later


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectConfig:
    """The keys of `[[expect]]`."""

    arm: str
    """Arm that is trained like the published model."""
    measure: str
    """Measure of the score, such as top1."""
    data_set: str
    """Data set, as in the name of the score; "all": the mean over all sets of the measure."""
    value: float
    """Published value, in percent (hundredths of a score)."""
    tolerance: PositiveFloat
    """Accepted difference of the arm's mean from `value`, in points, such as the spread of published runs."""
    reruns_are_below: bool = False
    """Whether all known re-runs are below `value`. The tolerance then extends downward only."""
    source: str
    """Publication that reports the value."""
    num_sets: PositiveInt | None = None
    """Number of sets in a published mean. Means over another number of sets are not compared with it."""
    samples_seen: PositiveInt | None = None
    """Pairs that the published model has seen. Runs that differ by more than 1 % are not compared."""

    def __post_init__(self) -> None:
        if not 0 <= self.value <= 100:
            raise ValueError(f"value = {self.value:g}: expected a percentage from 0 to 100")
        if self.tolerance >= 100:
            raise ValueError(f"tolerance = {self.tolerance:g}: expected less than 100 points")
        if not self.source.strip():
            raise ValueError("source is empty. Cite the publication of the value")
        if (self.data_set == ALL_SETS) != (self.num_sets is not None):
            raise ValueError('num_sets is required with data_set = "all", and invalid otherwise')

    @property
    def score(self) -> str:
        """Name of the expected score: `top1/imagenet1k`, `main/mean of 32 sets`."""
        sets = f"mean of {self.num_sets} sets"
        return f"{self.measure}/{sets if self.data_set == ALL_SETS else self.data_set}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneConfig:
    """The keys of `[tune]`."""

    measure: str
    """Measure of `[tune.eval]` that chooses settings, such as "top1", averaged over its sets."""
    trials: Few = 5
    """Number of settings that each search tries (AlgoPerf: 5)."""
    searches: Few = 3
    """Number of independent searches. An arm gets the best settings of its median search (AlgoPerf: 3)."""
    seed: NonNegativeInt = 1000
    """Seed of the search and of the first trial. Each further trial has the next seed."""
    role: Role | None = None
    """Set by `perceptinit tune`: "trial", or "best" for runs of an arm at its best settings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Range of a key of `[tune.space]`, both ends included."""

    low: float
    """Smallest value."""
    high: float
    """Largest value."""
    scale: Scale = "linear"
    """Scale on which values are uniform. Use "log" if factors matter, as for learning rates."""

    def __post_init__(self) -> None:
        if self.low >= self.high:
            raise ValueError(f"low = {self.low:g} must be below high = {self.high:g}")
        if self.scale == "log" and self.low <= 0:
            raise ValueError(f'low = {self.low:g}: scale = "log" needs values above 0')


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointConfig:
    """The keys of `[checkpoint]`."""

    every_steps: NonNegativeInt = 0
    """Steps between two checkpoints; 0: not by steps. Each epoch and stage also ends with a checkpoint."""
    every_minutes: NonNegativeFloat = 15.0
    """Minutes between two checkpoints, the most work lost in a power failure; 0: not by time."""
    keep: PositiveInt = 2
    """Number of checkpoints to keep. Older ones are removed when a newer one is complete on disk."""
    stages_from: tuple[str, ...] = ()
    """Names of experiments in the same output folder. A run copies its first `init` stages from a
    finished run in one of them, if the seed and these stages are the same. The weights are identical."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsConfig:
    """The keys of `[jobs]`: resources of Slurm jobs, and the prefix of commands."""

    partition: str | None = None
    """Partition of the cluster, as listed by `sinfo`."""
    time: str | None = None
    """Time limit of a job, as in `sbatch --time`: "8:00:00", "2-12". A longer run saves its state three
    minutes before the limit and returns to the queue. Default: the partition's limit."""
    gpus: NonNegativeInt = 1
    """GPUs per node, with one process each; 0: one process per node, on CPUs."""
    nodes: PositiveInt = 1
    """Number of nodes for each run."""
    setup: tuple[str, ...] = ()
    """Lines of bash before the run, such as "module load cuda". If a line fails, the job ends."""
    options: tuple[str, ...] = ()
    """Further options of `sbatch`, such as "--account=vision" or "--cpus-per-task=12"."""
    wrap: str = ""
    """Prefix of each command of `--submit slurm` and `--submit commands`, such as
    "apptainer exec --nv image.sif". `perceptinit` must be on the PATH of the container."""

    def __post_init__(self) -> None:
        if self.time is not None and _minutes(self.time) < MIN_MINUTES:
            raise ValueError(
                f'time = "{self.time}": expected at least {MIN_MINUTES} minutes ({WARN_SECONDS} s for saving)'
            )
        strange = [option for option in self.options if not option.startswith("-")]
        if strange:
            raise ValueError(f'options: "{strange[0]}" is not an option of sbatch. Write "--name=value"')
        try:
            shlex.split(self.wrap)
        except ValueError as error:
            raise ValueError(f"wrap: not a shell command ({error})") from None

    @property
    def num_processes(self) -> int:
        """Number of processes per node."""
        return max(self.gpus, 1)


def _minutes(time: str) -> int:
    found = _TIME.fullmatch(time)
    if not found:
        raise ValueError(f'time = "{time}": expected minutes, "hours:minutes:seconds" or "days-hours"')
    return sum(int(found[name] or 0) * weight for name, weight in _WEIGHT.items())
