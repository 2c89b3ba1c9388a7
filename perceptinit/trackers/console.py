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

from perceptinit.grouping import group
from perceptinit.progress import Bars
from perceptinit.results.measures import is_diagnostic, is_share, rank, readable_seconds, split_name
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
        total_steps: Steps of the stage, None if unknown.
        step: Steps done.
        first: Event of the first step.
        numbers: Loss, learning rate and speed, as text.
    """

    name: str = ""
    begin: float = 0.0
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
    scores: Newest scores by name.
    """

    state: State = "waiting"
    begin: float = 0.0
    end: float = 0.0
    stage: Stage = field(default_factory=Stage)
    is_resumed: bool = False
    scores: dict[str, Score] = field(default_factory=dict)


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
            run.stage = Stage(f"{event.stage} {event.message}", event.time, event.total_steps)
        elif event.kind == "step":
            run.stage.advance(event)
        elif event.kind == "scores":
            run.scores |= {score.name: score for score in event.scores}
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
        """Return the progress as text, such as "3 of 9 runs, about 2 min left"."""
        done = sum(run.state in ("finished", "kept") for run in self.runs.values())
        return ", ".join(filter(None, (f"{done} of {len(self.runs)} runs", self.time_left())))

    def time_left(self) -> str:
        """Return the estimated time until all runs finish as text; empty before the first run has finished.

        The estimate takes the mean duration of an arm's runs that this process did from their first to their
        last step. For an arm without such a run, the longest duration is a lower bound.
        """
        done = group(
            (arm, run.end - run.begin)
            for (arm, _), run in self.runs.items()
            if run.state == "finished" and not run.is_resumed
        )
        open_runs = {cell: run for cell, run in self.runs.items() if run.state in ("waiting", "running")}
        if not done or not open_runs:
            return ""
        means = {arm: fmean(seconds) for arm, seconds in done.items()}
        left = 0.0
        for (arm, _), run in open_runs.items():
            spent = self.now - run.begin if run.state == "running" else 0.0
            left += max(means.get(arm, max(means.values())) - spent, 0.0)
        bound = "about" if all(arm in means for arm, _ in open_runs) else "at least"
        return f"{bound} {readable_seconds(left / max(len(self.running), 1))} left"


class Console:
    """Shows a live table of arms x seeds with progress bars on a terminal, or prints plain lines elsewhere.

    A line is printed for each run that ends here, and for each warning. Without a terminal, a line every
    minute names the arm and its stage. All output goes to standard error; standard output contains only the
    result.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        every_seconds: float = 60.0
        """Seconds without a line after which a plain line names the stage; bars are not affected."""
        primary: str = ""
        """Score or measure that is printed when a run ends. By default, the first measure in the order of
        priority."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._last_line = 0.0  # time of the event of the newest line
        self._console = RichConsole(stderr=True, highlight=False, markup=False)
        self._progress = Progress([])
        self._bars = Bars()
        self._live: Live | None = None  # the table on a terminal
        self._warned: set[str] = set()
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
            self._last_line = self._last_line or event.time
        elif event.kind == "step":
            self._show_step(event, run.stage)
        elif event.kind == "warning" and not self._is_repeated(event):
            self._line(event, f"warning ({event.stage}): {event.message}", style="yellow")
        elif event.kind == "notice":
            self._line(event, event.message)
        elif event.kind == "run-end" and run.state != "kept":
            self._line(event, self._describe_end(event, run))

    def _describe_end(self, event: Event, run: RunProgress) -> str:
        """Return how a run ended: its primary score or its state, its duration, and the time left."""
        first = self._first_score(run)
        result = _score(first) if run.state == "finished" and first else event.message
        return f"{result}, {readable_seconds(run.end - run.begin)} ({self._progress.position()})"

    def _first_score(self, run: RunProgress) -> Score | None:
        """Return the score of a run with the highest priority; None without a score that ranks arms."""
        scores = [score for score in run.scores.values() if not is_diagnostic(split_name(score.name)[0])]
        return min(scores, key=self._priority, default=None)

    def _priority(self, score: Score) -> tuple[bool, tuple[int, bool], str]:
        measure, _ = split_name(score.name)
        return self._config.primary not in (score.name, measure), rank(measure), score.name

    def _show_seed(self, event: Event) -> None:
        """Print the means of the arms when all of them have finished a seed, except for the last seed."""
        if event.kind != "run-end":
            return
        runs = self._progress.runs
        ended = {cell: run for cell, run in runs.items() if run.state in ("finished", "kept")}
        firsts = {cell: self._first_score(run) for cell, run in ended.items()}
        arms = dict.fromkeys(arm for arm, _ in runs)
        seeds = {seed for _, seed in runs}
        done = [seed for seed in seeds if all(firsts.get((arm, seed)) for arm in arms)]
        if self._num_seeds < len(done) < len(seeds) and len(arms) > 1:
            scores = {arm: [s for s in (firsts[arm, seed] for seed in done) if s] for arm in arms}
            means = (f"{arm} {_value(fmean(s.value for s in own), own[0])}" for arm, own in scores.items())
            name = next(iter(scores.values()))[0].name
            self.say(f"after {len(done)} of {len(seeds)} seeds: {name} {', '.join(means)}")
        self._num_seeds = len(done)

    def _is_repeated(self, event: Event) -> bool:
        """Return whether another run gave the same warning about the data or settings of all runs."""
        is_repeated = event.stage == "run" and event.message in self._warned
        self._warned.add(event.message)
        return is_repeated

    def _line(self, event: Event, text: str, style: str | None = None) -> None:
        """Print a line of a run with its name."""
        self._last_line = event.time
        self.say(f"{event.arm}, seed {event.seed}: {text}", style)

    def _show_step(self, event: Event, stage: Stage) -> None:
        if self._console.is_terminal or event.time - self._last_line < self._config.every_seconds:
            return
        left = stage.seconds_left(event.time)
        more = f" ({readable_seconds(left)} left in this stage)" if left is not None else ""
        self._line(event, f"{stage.name}, step {event.step} of {event.total_steps}  {stage.numbers}{more}")


def _score(score: Score) -> str:
    """Return the name and value of a score, and why it has no interval."""
    missing = f" ({score.missing})" if score.missing else ""
    return f"{score.name} {_value(score.value, score)}{missing}"


def _value(value: float, score: Score) -> str:
    """Return a value in the unit of a score."""
    measure, _ = split_name(score.name)
    return f"{100 * value:.1f} %" if is_share(measure, score.chance) else f"{value:.3f}"


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
    return Group(_grid(progress), bars, Text(progress.position(), style="dim"))


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
