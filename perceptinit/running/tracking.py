"""The trackers of a recipe, started for each run and fed with its events."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from perceptinit.errors import without_credentials
from perceptinit.protocols import HasDescribe, HasExpect, HasLogImage, Tracker
from perceptinit.recipe.recipe import Recipe
from perceptinit.types import Event, RunContext

DEFAULT_TRACKERS = ("console", "jsonl")


class Trackers:
    """Sends events to every tracker of the recipe, or of recipes that share them; console and jsonl when it names none.

    runs: arm and seed of every run of the sweep. console: takes the place of the console tracker, as
    in a worker process.
    """

    def __init__(
        self, recipe: Recipe, runs: Sequence[tuple[str, int]], console: Tracker | None = None
    ) -> None:
        self._num_runs = len(runs)
        self._run_index = 0
        self._said: set[str] = set()
        self._active = [
            console if name == "console" and console is not None else make() for name, make in _makers(recipe)
        ]
        for tracker in self._active:
            if isinstance(tracker, HasExpect):
                tracker.expect(runs)

    def start(self, ctx: RunContext, recipe: Recipe) -> None:
        """Start every tracker for a run of a recipe; `ctx.folder` is where its files go."""
        self._run_index += 1
        settings = recipe.resolved(recipe.arm(ctx.arm))
        for tracker in self._active:
            if isinstance(tracker, HasDescribe):
                tracker.describe(ctx, without_credentials(recipe.text), settings)
        for tracker in self._active:
            tracker.start(ctx)
        ctx.event("run-start", message=self._position())

    def report_skipped(self, ctx: RunContext) -> None:
        """Report that a run was finished before."""
        self._run_index += 1
        ctx.event("run-end", message=f"{self._position()}: finished before, kept")

    def _position(self) -> str:
        return f"run {self._run_index} of {self._num_runs}"

    def log(self, event: Event) -> None:
        """Pass an event on."""
        for tracker in self._active:
            tracker.log(event)

    def say_once(self, event: Event) -> None:
        """Pass an event on unless one with the same message was."""
        if event.message not in self._said:
            self._said.add(event.message)
            self.log(event)

    @property
    def want_images(self) -> bool:
        """Say whether any tracker takes pictures."""
        return any(isinstance(tracker, HasLogImage) for tracker in self._active)

    def log_images(self, paths: Sequence[Path], samples_seen: int) -> None:
        """Hand pictures of the run that ended last to the trackers that take them."""
        for tracker in self._active:
            if isinstance(tracker, HasLogImage):
                for path in paths:
                    tracker.log_image(path.stem, path, samples_seen)

    def close(self) -> None:
        """Close every tracker."""
        for tracker in self._active:
            tracker.close()


def build_console(recipe: Recipe) -> Tracker | None:
    """Return the console tracker alone, None when the recipe's trackers do not include it."""
    return next((make() for name, make in _makers(recipe) if name == "console"), None)


def _makers(recipe: Recipe) -> list[tuple[str, Callable[[], Tracker]]]:
    """Return name and maker of each tracker: those of the recipe, or the default ones.

    Of several processes that work on one run, only the first reports events.
    """
    if int(os.environ.get("RANK", "0")):
        return []
    if recipe.tracks:
        return [(spec.name, spec.build) for spec in recipe.tracks]
    registry = recipe.plugins.registry
    classes: dict[str, Any] = {n: registry.get("tracker", n).load() for n in DEFAULT_TRACKERS}
    return [(name, partial(cls, cls.Config())) for name, cls in classes.items()]
