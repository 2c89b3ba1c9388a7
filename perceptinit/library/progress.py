"""A progress bar for the library and for `perceptinit init`, fed by the events of one stage."""

from __future__ import annotations

import warnings
from types import TracebackType
from typing import TYPE_CHECKING

from perceptinit.library.arguments import callers_level
from perceptinit.types import Event

if TYPE_CHECKING:
    from rich.progress import TaskID


class ProgressBar:
    """Shows the steps of a stage on standard error; warnings are Python's, whether shown or not."""

    def __init__(self, title: str, shown: bool = True) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.progress import TimeRemainingColumn as TimeLeft

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeLeft(),
            TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
            disable=not shown,
        )
        self._title = title
        self._task: TaskID | None = None

    def __enter__(self) -> ProgressBar:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def send(self, event: Event) -> None:
        """Take note of an event, as trackers do."""
        if event.kind == "warning":
            warnings.warn(event.message, UserWarning, stacklevel=callers_level())
        if event.kind == "step":
            self._advance(event)

    def _advance(self, event: Event) -> None:
        if self._task is None:  # not before there is a step: what comes from the cache shows no bar
            self._task = self._progress.add_task(self._title, note="")
        loss = event.metrics.get("loss")
        note = "" if loss is None else f"loss {loss:.3f}"
        self._progress.update(self._task, completed=event.step, total=event.total_steps, note=note)
