"""The base class of the trackers: one run of a library for each run folder."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from perceptinit.plugin import Event, RunContext, scalars


class LibraryRun:
    """A tracker that opens a run of its library for each run folder, and ignores events without one.

    Attributes:
        run: The open run, as the library represents it, or None.
        recipe: Text of the recipe.
        settings: Resolved settings of the run.
    """

    def __init__(self, config: Any) -> None:
        self.config = config
        self.run: Any = None
        self.recipe = ""
        self.settings: Mapping[str, Any] = {}

    def describe(self, ctx: RunContext, text: str, settings: Mapping[str, Any]) -> None:
        """Store the recipe and the settings for the run that starts next."""
        self.recipe = text
        self.settings = settings

    def start(self, ctx: RunContext) -> None:
        """Close the previous run and open a run for `ctx.folder`."""
        self.close()
        if ctx.folder is not None:
            self.run = self.open(ctx)

    def log(self, event: Event) -> None:
        """Log the numbers, the warning or the end of the run."""
        if self.run is None:
            return
        found = scalars(event)
        if found is not None:
            self.log_scalars(found, event)
        elif event.kind == "warning":
            self.log_warning(event)
        elif event.kind == "run-end":
            self.log_end(event.message)

    def close(self) -> None:
        """Close the open run."""
        if self.run is not None:
            self.finish()
        self.run = None

    def open(self, ctx: RunContext) -> Any:
        """Return the run of the library for `ctx.folder`, new or continued."""
        raise NotImplementedError

    def log_scalars(self, found: Any, event: Event) -> None:
        """Log the `values` of an event at position `at` of the x axis `axis`."""

    def log_warning(self, event: Event) -> None:
        """Log the message of a warning."""

    def log_end(self, status: str) -> None:
        """Log how the run ended: "finished", "interrupted" or "failed"."""

    def finish(self) -> None:
        """Write the remaining data of the open run and close it."""


def run_name(ctx: RunContext) -> str:
    """Return the name of a run in the library."""
    return f"{ctx.arm}-seed{ctx.seed}"


def stored_id(file: Path, create: Callable[[], str]) -> str:
    """Return the id in a file, so that a resumed run continues the run of the library; create it once."""
    if not file.is_file():
        file.write_text(create())
    return file.read_text().strip()
