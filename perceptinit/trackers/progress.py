"""How far the runs of a sweep are, as their events tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from perceptinit.types import Event

State = Literal["waiting", "running", "finished", "kept", "interrupted", "failed"]


@dataclass(slots=True)
class RunProgress:
    """One run: its state, and the stage it is in.

    step, total_steps: of the stage; the total is None when unknown. numbers: loss and such, as text.
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
        """Return the seconds left in the stage, None when that is unknown."""
        if not self.step or not self.total_steps:
            return None
        return (now - self.stage_begin) / self.step * (self.total_steps - self.step)

    def enter(self, event: Event) -> None:
        """Begin a stage."""
        self.stage = f"{event.stage} {event.message}"
        self.stage_begin = self.last_line = event.time
        self.step, self.total_steps = 0, event.total_steps
        self.numbers, self.first_step = "", None

    def advance(self, event: Event) -> None:
        """Take a step of the stage."""
        self.step, self.total_steps = event.step or 0, event.total_steps
        if self.first_step is None:
            self.first_step = (event.time, event.samples_seen or 0)
        shown = [f"{n} {event.metrics[n]:.4g}" for n in ("loss", "lr") if n in event.metrics]
        begin, samples = self.first_step
        if event.samples_seen and event.time > begin:
            shown.append(f"{(event.samples_seen - samples) / (event.time - begin):.0f} samples/s")
        self.numbers = "  ".join(shown)


class Progress:
    """All runs of a sweep, by arm and seed."""

    def __init__(self, runs: Sequence[tuple[str, int]]) -> None:
        self.runs = {run: RunProgress() for run in runs}
        self.now = 0.0

    def follow(self, event: Event) -> RunProgress:
        """Take note of an event and return the run it belongs to."""
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
        return [cell for cell, run in self.runs.items() if run.state == "running"]

    def position(self) -> str:
        """Return which run the latest one is: `run 3 of 9`."""
        begun = sum(run.state != "waiting" for run in self.runs.values())
        return f"run {begun} of {len(self.runs)}"

    def seconds_left(self) -> float | None:
        """Return the seconds until all runs are done, None before the first one is.

        Runs count as long as those that were finished here; as many go on at a time as do now.
        """
        done = [run.end - run.begin for run in self.runs.values() if run.state == "finished"]
        if not done:
            return None
        mean = sum(done) / len(done)
        running = [run for run in self.runs.values() if run.state == "running"]
        waiting = sum(run.state == "waiting" for run in self.runs.values())
        left = sum(max(mean - (self.now - run.begin), 0.0) for run in running) + waiting * mean
        return left / max(len(running), 1)
