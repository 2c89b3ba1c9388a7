"""Progress of a recipe on the terminal (`console`)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean
from threading import RLock
from typing import Literal

from rich.console import Console as RichConsole, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from perceptinit.progress import Bars
from perceptinit.results.measures import is_diagnostic, rank, readable_seconds, split_name
from perceptinit.types import Event, RunContext, Score

State = Literal["waiting", "running", "finished", "kept", "interrupted", "failed"]
# symbol and color of each state
SIGNS = {
    "waiting": ("·", "dim"),
    "running": ("▶", "cyan"),
    "finished": ("✓", "green"),
    "kept": ("✓", "green"),
    "interrupted": ("‖", "yellow"),
    "failed": ("✗", "red"),
}


@dataclass(slots=True)
class Stage:
    """Progress of a stage of a run.

    Attributes:
        name: Name of the stage, empty between stages.
        begin: Start of the stage in seconds since the epoch, like all times here.
        last_line: Time of the last printed line.
        total_steps: Steps of the stage, None if unknown.
        step: Steps done.
        first: Event of the first step.
        numbers: Loss, learning rate and speed, as text.
    """

    name: str = ""
    begin: float = 0.0
    last_line: float = 0.0
    total_steps: int | None = None
    step: int = 0
    first: Event | None = None
    numbers: str = ""

    def seconds_left(self, now: float) -> float | None:
        """Return the seconds left in the stage, None if unknown."""
        begin, first = (self.first.time, self.first.step or 0) if self.first else (self.begin, 0)
        if first <= 10:  # not resumed: the first event is at step 10 or earlier
            begin, first = self.begin, 0
        if self.step <= first or not self.total_steps:
            return None
        return (now - begin) / (self.step - first) * (self.total_steps - self.step)

    def advance(self, event: Event) -> None:
        """Record a step of the stage."""
        first = self.first = self.first or event
        self.step = event.step or 0
        self.total_steps = event.total_steps
        shown = [f"{n} {event.metrics[n]:.4g}" for n in ("loss", "lr") if n in event.metrics]
        if event.samples_seen and event.time > first.time:
            samples = event.samples_seen - (first.samples_seen or 0)
            shown.append(f"{samples / (event.time - first.time):.0f} samples/s")
        self.numbers = "  ".join(shown)


@dataclass(slots=True)
class RunProgress:
    """Progress of one run: its state, its begin and end, and the current stage.

    is_resumed: Whether an earlier process did part of the run.
    """

    state: State = "waiting"
    begin: float = 0.0
    end: float = 0.0
    stage: Stage = field(default_factory=Stage)
    is_resumed: bool = False


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
        """Update the progress of the event's run and return it."""
        run = self.runs.setdefault((event.arm, event.seed), RunProgress())
        self.now = max(self.now, event.time)
        if event.kind == "run-start":
            run.state = "running"
            run.begin = event.time
        elif event.kind == "stage-start":
            name = f"{event.stage} {event.message}"
            run.stage = Stage(name, event.time, event.time, event.total_steps)
        elif event.kind == "step":
            run.stage.advance(event)
        elif event.kind == "notice":
            run.is_resumed = True
        elif event.kind == "run-end":
            run.end = event.time
            run.stage = Stage()
            run.state = "finished" if run.state == "running" else "kept"
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
        """Return the number of started runs as text, such as "run 3 of 9"."""
        started = sum(run.state != "waiting" for run in self.runs.values())
        return f"run {started} of {len(self.runs)}"

    def time_left(self) -> str:
        """Return the estimated time until all runs finish as text, empty before the first run has finished.

        The estimate assumes the longest duration of a run that this process did from its first to its last
        step, because arms differ in cost, and the current number of parallel runs.
        """
        finished = [run for run in self.runs.values() if run.state == "finished"]
        done = [run.end - run.begin for run in finished if not run.is_resumed]
        if not done:
            return ""
        longest = max(done)
        running = [run for run in self.runs.values() if run.state == "running"]
        waiting = sum(run.state == "waiting" for run in self.runs.values())
        left = sum(max(longest - (self.now - run.begin), 0.0) for run in running) + waiting * longest
        return f", all runs: about {readable_seconds(left / max(len(running), 1))} left"


class Console:
    """Shows a live table of arms x seeds with progress bars on a terminal, or prints plain lines elsewhere.

    All output goes to standard error; standard output contains only the result table. If several runs are in
    progress, each line names its run.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        every_seconds: float = 10.0
        """Minimum seconds between two plain lines of a stage; bars are not affected."""

    def __init__(self, config: Config) -> None:
        self._every_seconds = config.every_seconds
        self._console = RichConsole(stderr=True, highlight=False, markup=False)
        self._progress = Progress([])
        self._bars = Bars()
        self._live: Live | None = None  # the table on a terminal
        self._warned: set[str] = set()
        self._values: dict[str, dict[tuple[str, int], float]] = {}  # by score, then arm and seed
        self._num_seeds = 0  # whose scores were printed
        self._lock = RLock()  # events of worker processes arrive in several threads

    def expect(self, runs: Sequence[tuple[str, int]]) -> None:
        """Set the runs of the sweep, as (arm, seed), to estimate the time left."""
        self._progress = Progress(runs)

    def start(self, ctx: RunContext) -> None:
        """Do nothing; the console shows a run from its first event."""

    def say(self, text: str, style: str | None = None) -> None:
        """Print a line, above the live table if there is one."""
        with self._lock:
            self._console.print(text, style=style, markup=False, soft_wrap=True)

    def log(self, event: Event) -> None:
        """Show an event."""
        with self._lock:
            run = self._progress.follow(event)
            self._show(event, run)
            self._show_seed(event)
            if self._console.is_terminal:
                if self._live is None:
                    self._live = Live(console=self._console, transient=True, refresh_per_second=4)
                    self._live.start()
                self._live.update(render(self._progress, self._bars))

    def close(self) -> None:
        """Remove the live table."""
        with self._lock:
            if self._live is not None:
                self._live.stop()
                self._live = None

    def _show(self, event: Event, run: RunProgress) -> None:
        if event.kind == "run-start":
            place = f"{self._progress.position()}{self._progress.time_left()}"
            self.say(f"\n{event.arm}, seed {event.seed}  ({place})", "bold")
        elif event.kind == "step":
            self._show_step(event, run.stage)
        elif event.kind == "scores":
            shown = "  ".join(_score(score) for score in event.scores if "spread" not in score.name)
            if shown:
                self._line(event, f"after {event.samples_seen or 0:,} samples: {shown}")
        elif event.kind == "stage-end":
            shown = "  ".join(f"{k} {v:.4g}" for k, v in list(event.metrics.items())[:4])
            spent = readable_seconds(event.time - run.stage.begin)
            self._line(event, f"{event.stage} {event.message}: {spent}  {shown}")
        elif event.kind == "warning" and not self._is_repeated(event):
            self._line(event, f"warning ({event.stage}): {event.message}", style="yellow")
        elif event.kind == "notice":
            self._line(event, event.message)
        elif event.kind == "run-end" and (event.message != "finished" or self._progress.running):
            self.say(f"  {event.arm}, seed {event.seed}: {event.message}")

    def _show_seed(self, event: Event) -> None:
        """Print the means of the arms when all of them have finished a seed, except for the last seed."""
        for score in event.scores:
            if not is_diagnostic(split_name(score.name)[0]):
                self._values.setdefault(score.name, {})[event.arm, event.seed] = score.value
        if event.kind != "run-end" or not self._values:
            return
        name = min(self._values, key=lambda name: rank(split_name(name)[0]))
        values = self._values[name]
        arms = list(dict.fromkeys(arm for arm, _ in self._progress.runs))
        seeds = {seed for _, seed in self._progress.runs}
        ended = {
            run for run, progress in self._progress.runs.items() if progress.state in ("finished", "kept")
        }
        done = [seed for seed in seeds if all((arm, seed) in values.keys() & ended for arm in arms)]
        if self._num_seeds < len(done) < len(seeds):
            means = ", ".join(f"{arm} {fmean(values[arm, seed] for seed in done):.3f}" for arm in arms)
            self.say(f"after {len(done)} of {len(seeds)} seeds: {name} {means}")
        self._num_seeds = len(done)

    def _is_repeated(self, event: Event) -> bool:
        """Return whether another run gave the same warning about the data or settings of all runs."""
        is_repeated = event.stage == "run" and event.message in self._warned
        self._warned.add(event.message)
        return is_repeated

    def _line(self, event: Event, text: str, style: str | None = None) -> None:
        """Print a line of a run, with its name if several runs are in progress."""
        crowded = len(self._progress.running) > 1
        self.say(f"{event.arm}, seed {event.seed}: {text}" if crowded else f"  {text}", style)

    def _show_step(self, event: Event, stage: Stage) -> None:
        if self._console.is_terminal or event.time - stage.last_line < self._every_seconds:
            return
        stage.last_line = event.time
        left = stage.seconds_left(event.time)
        more = f"  this stage: {readable_seconds(left)} left" if left is not None else ""
        self._line(event, f"{event.stage} step {event.step}/{event.total_steps} {stage.numbers}{more}")


def _score(score: Score) -> str:
    error = f" ± {score.stderr:.3f}" if score.stderr is not None else ""
    missing = f" ({score.missing})" if score.missing else ""
    return f"{score.name} {score.value:.3f}{error}{missing}"


def render(progress: Progress, bars: Bars) -> RenderableType:
    """Return the live view of a sweep: arms x seeds, a bar for each active run, and the time left."""
    shown = {}
    for arm, seed in progress.running:
        stage = progress.runs[arm, seed].stage
        if stage.name:
            shown[f"{arm}, seed {seed}  {stage.name}"] = stage
    bars.retain(shown)
    for name, stage in shown.items():
        bars.update(name, stage.step, stage.total_steps, stage.numbers)
    done = sum(run.state in ("finished", "kept") for run in progress.runs.values())
    summary = Text(f"{done} of {len(progress.runs)} runs done{progress.time_left()}", style="dim")
    return Group(_grid(progress), bars, summary)


def _grid(progress: Progress) -> Table:
    seeds = sorted({seed for _, seed in progress.runs})
    table = Table(box=None, pad_edge=False)
    table.add_column("arm")
    for seed in seeds:
        table.add_column(f"seed {seed}", justify="center")
    for arm in dict.fromkeys(arm for arm, _ in progress.runs):
        states = [progress.runs.get((arm, seed)) for seed in seeds]
        table.add_row(arm, *(Text(*SIGNS[s.state]) if s else Text("") for s in states))
    return table
