"""Progress bars of files that are fetched, on standard error."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from perceptinit.files.downloads import Progress as Report


def bars() -> tuple[Progress, Report]:
    """Return bars on standard error, and the function that moves them; a bar leaves when it is full."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    console = Console(stderr=True)
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    bars: dict[str, TaskID] = {}

    def report(name: str, have: int, total: int | None) -> None:
        bar = bars.get(name)
        if bar is None:
            bar = bars[name] = progress.add_task(name, total=total)
        is_whole = total is not None and have >= total
        progress.update(bar, completed=have, total=total, visible=not is_whole)

    return progress, report
