"""What the jobs of `run --on slurm` ask the cluster for: the recipe's `[slurm]`. No result depends on it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from perceptinit.configs import NonNegativeInt, PositiveInt

# before its time is over, a run is asked to save
WARN_SECONDS = 180
LEAST_MINUTES = 5
# sbatch(1): minutes, minutes:seconds, hours:minutes:seconds, days-hours, days-hours:minutes, days-hours:minutes:seconds
_TIME = re.compile(
    r"(?P<m>\d+)(:\d+)?|(?P<h>\d+):(?P<hm>\d+):\d+|(?P<d>\d+)-(?P<dh>\d+)(:(?P<dm>\d+)(:\d+)?)?"
)
_WEIGHT = {"m": 1, "hm": 1, "dm": 1, "h": 60, "dh": 60, "d": 1440}


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
