"""Progress of the runs of a sweep, from their events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from perceptinit.types import Event

State = Literal["waiting", "running", "finished", "kept", "interrupted", "failed"]


@dataclass(slots=True)
class RunProgress:
    """Progress of one run.

    Attributes:
        state: State of the run.
        begin: Start of the run, in seconds since the epoch, as all times here.
        end: End of the run.
        stage: Current stage, empty between stages.
        stage_begin: Start of the stage.
        step: Steps done in the stage.
        total_steps: Steps of the stage, None if unknown.
        numbers: Loss, learning rate and speed, as text.
        last_line: Time of the last printed line.
        first_step: Time and samples of the first step of the stage.
    """

    state: State = "waiting"
    begin: float = 0.0
    end: float = 0.0
    stage: str = ""
    stage_begin: float = 0.0
    step: int = 0
    total_steps: int | None = None
    numbers: str = ""
    last_line: float = 0.0
    first_step: tuple[float, int] | None = None

    def seconds_left(self, now: float) -> float | None:
        """Return the seconds left in the stage, None if unknown."""
        if not self.step or not self.total_steps:
            return None
        return (now - self.stage_begin) / self.step * (self.total_steps - self.step)

    def enter(self, event: Event) -> None:
        """Start a stage."""
        self.stage = f"{event.stage} {event.message}"
        self.stage_begin = self.last_line = event.time
        self.step, self.total_steps = 0, event.total_steps
        self.numbers, self.first_step = "", None

    def advance(self, event: Event) -> None:
        """Add a step of the stage."""
        self.step, self.total_steps = event.step or 0, event.total_steps
        if self.first_step is None:
            self.first_step = (event.time, event.samples_seen or 0)
        shown = [f"{n} {event.metrics[n]:.4g}" for n in ("loss", "lr") if n in event.metrics]
        begin, samples = self.first_step
        if event.samples_seen and event.time > begin:
            shown.append(f"{(event.samples_seen - samples) / (event.time - begin):.0f} samples/s")
        self.numbers = "  ".join(shown)


class Progress:
    """Progress of all runs of a sweep.

    Args:
        runs: Arm and seed of each run.

    Attributes:
        runs: Progress by arm and seed.
        now: Time of the last event, in seconds since the epoch.
    """

    def __init__(self, runs: Sequence[tuple[str, int]]) -> None:
        self.runs = {run: RunProgress() for run in runs}
        self.now = 0.0

    def follow(self, event: Event) -> RunProgress:
        """Update the run of an event and return it."""
        run = self.runs.setdefault((event.arm, event.seed), RunProgress())
        self.now = max(self.now, event.time)
        if event.kind == "run-start":
            run.state, run.begin = "running", event.time
        elif event.kind == "stage-start":
            run.enter(event)
        elif event.kind == "step":
            run.advance(event)
        elif event.kind == "run-end":
            run.end, run.stage = event.time, ""
            run.state = "kept" if event.message.endswith("kept") else "finished"
            if event.message.startswith(("interrupted", "stopped")):
                run.state = "interrupted"
            elif event.message == "failed":
                run.state = "failed"
        return run

    @property
    def running(self) -> list[tuple[str, int]]:
        """Arm and seed of the runs in progress."""
        return [cell for cell, run in self.runs.items() if run.state == "running"]

    def position(self) -> str:
        """Return the number of started runs, such as "run 3 of 9"."""
        started = sum(run.state != "waiting" for run in self.runs.values())
        return f"run {started} of {len(self.runs)}"

    def seconds_left(self) -> float | None:
        """Return the estimated seconds until all runs finish, None before the first one did.

        The estimate assumes the mean duration of the finished runs, and the present number of parallel runs.
        """
        done = [run.end - run.begin for run in self.runs.values() if run.state == "finished"]
        if not done:
            return None
        mean = sum(done) / len(done)
        running = [run for run in self.runs.values() if run.state == "running"]
        waiting = sum(run.state == "waiting" for run in self.runs.values())
        left = sum(max(mean - (self.now - run.begin), 0.0) for run in running) + waiting * mean
        return left / max(len(running), 1)
