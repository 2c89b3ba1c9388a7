"""What a person sees while a recipe runs."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console as RichConsole
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from perceptinit.tracking import readable_seconds
from perceptinit.types import Event, RunContext, Score


class Console:
    """A progress bar per stage on a terminal, plain lines elsewhere (files, CI).

    Goes to standard error, so that standard output carries the result table alone.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        every_seconds: float = 10.0
        """Seconds between two plain lines of one stage; bars are always current."""

    def __init__(self, config: Config) -> None:
        self._every_seconds = config.every_seconds
        self._console = RichConsole(stderr=True, highlight=False)
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._stage_begin = 0.0
        self._last_line = 0.0
        self._first: tuple[float, int] | None = None

    def start(self, ctx: RunContext) -> None:
        """Nothing to prepare: the run-start event carries all that is shown."""

    def log(self, event: Event) -> None:
        handle = {
            "run-start": self._run_start,
            "stage-start": self._stage_start,
            "step": self._step,
            "scores": self._scores,
            "stage-end": self._stage_end,
            "warning": self._warning,
            "run-end": self._run_end,
        }.get(event.kind)
        if handle:
            handle(event)

    def close(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _say(self, text: str, style: str | None = None) -> None:
        self._console.print(text, style=style, markup=False)

    def _run_start(self, event: Event) -> None:
        self._say(f"\n{event.arm}, seed {event.seed}  ({event.message})", style="bold")

    def _stage_start(self, event: Event) -> None:
        self._stage_begin = self._last_line = event.time
        self._first = None
        if not self._console.is_terminal:
            return
        self._progress = Progress(
            TextColumn("  {task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        title = f"{event.stage} {event.message}"
        self._task = self._progress.add_task(title, total=event.total_steps, numbers="")
        self._progress.start()

    def _step(self, event: Event) -> None:
        if self._first is None:
            self._first = (event.time, event.samples_seen or 0)
        numbers = self._numbers(event)
        if self._progress is not None and self._task is not None:
            self._progress.update(
                self._task, completed=event.step, total=event.total_steps, numbers=numbers
            )
        elif event.time - self._last_line >= self._every_seconds:
            self._last_line = event.time
            self._say(
                f"  {event.stage} step {event.step}/{event.total_steps} {numbers}{self._left(event)}"
            )

    def _numbers(self, event: Event) -> str:
        parts = [
            f"{name} {event.metrics[name]:.4g}" for name in ("loss", "lr") if name in event.metrics
        ]
        begin, samples = self._first or (event.time, 0)
        seconds = event.time - begin
        if event.samples_seen and seconds > 0:
            parts.append(f"{(event.samples_seen - samples) / seconds:.0f} samples/s")
        return "  ".join(parts)

    def _left(self, event: Event) -> str:
        if not event.step or not event.total_steps:
            return ""
        spent = event.time - self._stage_begin
        return f"  {readable_seconds(spent / event.step * (event.total_steps - event.step))} left"

    def _scores(self, event: Event) -> None:
        shown = "  ".join(_score(score) for score in event.scores if "spread" not in score.name)
        if shown:
            self._say(f"  after {event.samples_seen or 0:,} samples: {shown}")

    def _stage_end(self, event: Event) -> None:
        self.close()
        shown = "  ".join(f"{k} {v:.4g}" for k, v in list(event.metrics.items())[:4])
        spent = readable_seconds(event.time - self._stage_begin)
        self._say(f"  {event.stage} {event.message}: {spent}  {shown}")

    def _warning(self, event: Event) -> None:
        self._say(f"  warning ({event.stage}): {event.message}", style="yellow")

    def _run_end(self, event: Event) -> None:
        self.close()
        if event.message != "finished":
            self._say(f"  {event.arm}, seed {event.seed}: {event.message}")


def _score(score: Score) -> str:
    text = f"{score.name} {score.value:.3f}"
    return f"{text} ± {score.stderr:.3f}" if score.stderr is not None else text
