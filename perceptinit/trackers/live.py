"""The live part of the console: a table of arms x seeds, a bar for each run that goes on, time left."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from perceptinit.results.measures import readable_seconds
from perceptinit.trackers.progress import Progress, RunProgress

# sign and colour of each state; the sign alone tells them apart
SIGNS = {
    "waiting": ("·", "dim"),
    "running": ("▶", "cyan"),
    "finished": ("✓", "green"),
    "kept": ("✓", "green"),
    "interrupted": ("‖", "yellow"),
    "failed": ("✗", "red"),
}
BAR_WIDTH = 24


class LiveView:
    """Keeps the table at the bottom of the terminal until `stop`, which leaves nothing behind."""

    def __init__(self, progress: Progress, console: Console) -> None:
        self._progress = progress
        self._live = Live(console=console, transient=True, refresh_per_second=4)
        self._live.start()

    def refresh(self) -> None:
        """Show the present state."""
        self._live.update(render(self._progress))

    def stop(self) -> None:
        self._live.stop()


def render(progress: Progress) -> RenderableType:
    """Return the live view of a sweep."""
    return Group(_grid(progress), _bars(progress), Text(_summary(progress), style="dim"))


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


def _bars(progress: Progress) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for arm, seed in progress.running:
        run = progress.runs[arm, seed]
        table.add_row(f"{arm}, seed {seed}", run.stage, _bar(run), _steps(run), run.numbers)
    return table


def _bar(run: RunProgress) -> ProgressBar:
    return ProgressBar(total=run.total_steps, completed=run.step, width=BAR_WIDTH)


def _steps(run: RunProgress) -> str:
    if not run.stage:
        return ""
    total = f"/{run.total_steps}" if run.total_steps else ""
    return f"{run.step}{total}"


def _summary(progress: Progress) -> str:
    done = sum(run.state in ("finished", "kept") for run in progress.runs.values())
    text = f"{done} of {len(progress.runs)} runs done"
    left = progress.seconds_left()
    if left is not None:
        return f"{text}, about {readable_seconds(left)} left"
    stages = [progress.runs[cell].seconds_left(progress.now) for cell in progress.running]
    known = [seconds for seconds in stages if seconds is not None]
    return f"{text}, {readable_seconds(max(known))} left in this stage" if known else text
