"""The trackers of a recipe, which receive the events of its runs."""

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from perceptinit.errors import without_credentials
from perceptinit.protocols import HasDescribe, HasExpect, Tracker
from perceptinit.recipe.recipe import Recipe
from perceptinit.types import Event, RunContext

DEFAULT_TRACKERS = ("console", "jsonl")


class Trackers:
    """Sends events to every tracker of a recipe, by default console and jsonl.

    Args:
        recipe: The recipe.
        runs: Arm and seed of every run of the sweep.
        console: Replaces the console tracker, as in a worker process.
    """

    def __init__(
        self, recipe: Recipe, runs: Sequence[tuple[str, int]], console: Tracker | None = None
    ) -> None:
        self._logged: set[str] = set()
        self._active = [
            console if name == "console" and console is not None else make()
            for name, make in _find_makers(recipe)
        ]
        for tracker in self._active:
            if isinstance(tracker, HasExpect):
                tracker.expect(runs)

    def start(self, ctx: RunContext, recipe: Recipe) -> None:
        """Start every tracker for a run of a recipe, with files in `ctx.folder`."""
        settings = recipe.resolve(recipe.arm(ctx.arm))
        for tracker in self._active:
            if isinstance(tracker, HasDescribe):
                tracker.describe(ctx, without_credentials(recipe.text), settings)
            tracker.start(ctx)
        ctx.event("run-start")

    def log(self, event: Event) -> None:
        """Send an event to every tracker."""
        for tracker in self._active:
            tracker.log(event)

    def log_once(self, event: Event) -> None:
        """Send an event unless an event with the same message was sent before."""
        if event.message not in self._logged:
            self._logged.add(event.message)
            self.log(event)

    def close(self) -> None:
        """Close every tracker."""
        for tracker in self._active:
            tracker.close()


def build_console(recipe: Recipe) -> Tracker | None:
    """Return the console tracker, or None if the recipe's trackers do not include it."""
    return next((make() for name, make in _find_makers(recipe) if name == "console"), None)


def _find_makers(recipe: Recipe) -> list[tuple[str, Callable[[], Tracker]]]:
    """Return the name and constructor of each tracker; empty except on rank 0."""
    if int(os.environ.get("RANK", "0")):
        return []
    if recipe.tracks:
        return [(spec.name, spec.build) for spec in recipe.tracks]
    registry = recipe.plugins.registry
    classes: dict[str, Any] = {n: registry.get("tracker", n).load() for n in DEFAULT_TRACKERS}
    settings = {"console": {"primary": recipe.verdict.primary}}
    return [(name, partial(cls, cls.Config(**settings.get(name, {})))) for name, cls in classes.items()]
