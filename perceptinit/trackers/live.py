"""The live part of the console: a table of arms x seeds, a bar for each running run, the time left."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from perceptinit.progress import Bars
from perceptinit.results.measures import readable_seconds
from perceptinit.trackers.progress import Progress

# sign and colour of each state; the sign alone tells them apart
SIGNS = {
    "waiting": ("·", "dim"),
    "running": ("▶", "cyan"),
    "finished": ("✓", "green"),
    "kept": ("✓", "green"),
    "interrupted": ("‖", "yellow"),
    "failed": ("✗", "red"),
}


def render(progress: Progress, bars: Bars) -> RenderableType:
    """Return the live view of a sweep, with `bars` moved to where its runs are."""
    shown = {}
    for arm, seed in progress.running:
        run = progress.runs[arm, seed]
        if run.stage:
            shown[f"{arm}, seed {seed}  {run.stage}"] = run
    bars.retain(shown)
    for name, run in shown.items():
        bars.update(name, run.step, run.total_steps, run.numbers)
    done = sum(run.state in ("finished", "kept") for run in progress.runs.values())
    left = progress.seconds_left()
    more = "" if left is None else f", about {readable_seconds(left)} left"
    summary = Text(f"{done} of {len(progress.runs)} runs done{more}", style="dim")
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
