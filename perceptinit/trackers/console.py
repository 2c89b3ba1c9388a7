"""What a person sees while a recipe runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import RLock

from rich.console import Console as RichConsole
from rich.live import Live

from perceptinit.progress import Bars
from perceptinit.results.measures import readable_seconds
from perceptinit.trackers.live import render
from perceptinit.trackers.progress import Progress, RunProgress
from perceptinit.types import Event, RunContext, Score


class Console:
    """A live table of arms x seeds with progress bars on a terminal, plain lines elsewhere (files, CI).

    Goes to standard error, so that standard output carries the result table alone. Runs may go on
    at the same time: then every line names its run.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        every_seconds: float = 10.0
        """Seconds between two plain lines of one stage; bars are always current."""

    def __init__(self, config: Config) -> None:
        self._every_seconds = config.every_seconds
        self._console = RichConsole(stderr=True, highlight=False, markup=False)
        self._progress = Progress([])
        self._bars = Bars()
        self._live: Live | None = None  # the table at the bottom of a terminal
        self._lock = RLock()  # events of worker processes arrive in several threads

    def expect(self, runs: Sequence[tuple[str, int]]) -> None:
        """Take note of all runs of the sweep, to tell how far it is."""
        self._progress = Progress(runs)

    def start(self, ctx: RunContext) -> None:
        """Nothing to prepare: the run-start event carries all that is shown."""

    def say(self, text: str, style: str | None = None) -> None:
        """Print a line, above the live table where there is one."""
        with self._lock:
            self._console.print(text, style=style, markup=False, soft_wrap=True)

    def log(self, event: Event) -> None:
        with self._lock:
            run = self._progress.follow(event)
            self._show(event, run)
            if self._console.is_terminal:
                if self._live is None:
                    self._live = Live(console=self._console, transient=True, refresh_per_second=4)
                    self._live.start()
                self._live.update(render(self._progress, self._bars))

    def close(self) -> None:
        with self._lock:
            if self._live is not None:
                self._live.stop()
                self._live = None

    def _show(self, event: Event, run: RunProgress) -> None:
        if event.kind == "run-start":
            left = self._progress.seconds_left()
            more = f", about {readable_seconds(left)} left" if left is not None else ""
            position = self._progress.position()
            self.say(f"\n{event.arm}, seed {event.seed}  ({position}{more})", "bold")
        elif event.kind == "step":
            self._show_step(event, run)
        elif event.kind == "scores":
            shown = "  ".join(_score(score) for score in event.scores if "spread" not in score.name)
            if shown:
                self._line(event, f"after {event.samples_seen or 0:,} samples: {shown}")
        elif event.kind == "stage-end":
            shown = "  ".join(f"{k} {v:.4g}" for k, v in list(event.metrics.items())[:4])
            spent = readable_seconds(event.time - run.stage_begin)
            self._line(event, f"{event.stage} {event.message}: {spent}  {shown}")
        elif event.kind == "warning":
            self._line(event, f"warning ({event.stage}): {event.message}", style="yellow")
        elif event.kind == "run-end" and (event.message != "finished" or self._progress.running):
            self.say(f"  {event.arm}, seed {event.seed}: {event.message}")

    def _line(self, event: Event, text: str, style: str | None = None) -> None:
        """Print a line of a run; it names the run when others go on at the same time."""
        crowded = len(self._progress.running) > 1
        self.say(f"{event.arm}, seed {event.seed}: {text}" if crowded else f"  {text}", style)

    def _show_step(self, event: Event, run: RunProgress) -> None:
        if self._console.is_terminal or event.time - run.last_line < self._every_seconds:
            return
        run.last_line = event.time
        left = run.seconds_left(event.time)
        more = f"  {readable_seconds(left)} left" if left is not None else ""
        self._line(event, f"{event.stage} step {event.step}/{event.total_steps} {run.numbers}{more}")


def _score(score: Score) -> str:
    text = f"{score.name} {score.value:.3f}"
    return f"{text} ± {score.stderr:.3f}" if score.stderr is not None else text
