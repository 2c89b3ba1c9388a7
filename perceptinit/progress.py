"""Progress bars on standard error, for all commands, runs and the library."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn, TaskID


class Bars:
    """Named progress bars, as a context manager. A full bar disappears unless `stays`.

    Args:
        counts_bytes: Show sizes and speed instead of counts.
        stays: Keep the bars on the screen at the end.
        shown: Whether to show bars; by default only if standard error is a terminal.
    """

    def __init__(self, *, counts_bytes: bool = False, stays: bool = False, shown: bool | None = None) -> None:
        from rich.console import Console
        from rich.progress import Progress

        console = Console(stderr=True)
        is_shown = console.is_terminal if shown is None else shown
        self._progress = Progress(
            *_columns(counts_bytes), console=console, transient=not stays, disable=not is_shown
        )
        self._stays = stays
        self._tasks: dict[str, TaskID] = {}
        self._done: dict[str, int] = {}

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def __rich__(self) -> Progress:
        return self._progress

    def update(self, name: str, done: int, total: int | None = None, note: str = "") -> None:
        """Set a bar to `done` of `total`. The first call for a name adds the bar."""
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=total, note=note)
        self._done[name] = done
        is_visible = self._stays or total is None or done < total
        self._progress.update(self._tasks[name], completed=done, total=total, note=note, visible=is_visible)

    def advance(self, name: str, total: int | None, by: int = 1) -> None:
        """Advance a bar by `by` of `total`."""
        self.update(name, self._done.get(name, 0) + by, total)

    def say(self, message: str) -> None:
        """Print a line above the bars, if they are shown."""
        if not self._progress.disable:
            self._progress.console.print(message, markup=False, highlight=False, soft_wrap=True)

    def retain(self, names: Collection[str]) -> None:
        """Remove all bars except those with these names."""
        for name in self._tasks.keys() - set(names):
            self._progress.remove_task(self._tasks.pop(name))


def _columns(counts_bytes: bool) -> list[ProgressColumn]:
    from rich import progress

    sizes = (progress.DownloadColumn(), progress.TransferSpeedColumn())
    counts = sizes if counts_bytes else (progress.MofNCompleteColumn(),)
    return [
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(bar_width=24),
        *counts,
        progress.TimeRemainingColumn(),
        progress.TextColumn("{task.fields[note]}", markup=False),
    ]
