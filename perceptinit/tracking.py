"""The trackers of a recipe, started for each run and fed with its events."""

from __future__ import annotations

import time
from typing import Any

from perceptinit.recipe import Recipe
from perceptinit.types import Event, RunContext


class Trackers:
    """Sends events to every tracker of the recipe; console and jsonl when it names none."""

    def __init__(self, recipe: Recipe, num_runs: int) -> None:
        self._specs = recipe.tracks
        self._registry = recipe.plugins.registry
        self._num_runs = num_runs
        self._run_index = 0
        self._begin = time.perf_counter()
        self._seconds_working = 0.0
        self._num_done = 0
        self._active = self._build()

    def _build(self) -> list[Any]:
        if self._specs:
            return [spec.build() for spec in self._specs]
        classes = [self._registry.get("tracker", name).load() for name in ("console", "jsonl")]
        return [cls(cls.Config()) for cls in classes]  # type: ignore[attr-defined]

    def start(self, ctx: RunContext) -> None:
        """Tell every tracker that a run begins; `ctx.folder` is where its files go."""
        self._run_index += 1
        self._begin = time.perf_counter()
        for tracker in self._active:
            tracker.start(ctx)
        ctx.event("run-start", message=self._position())

    def skipped(self, ctx: RunContext) -> None:
        """Tell that a run was finished before."""
        self._run_index += 1
        ctx.event("run-end", message=f"{self._position()}: finished before, kept")

    def _position(self) -> str:
        text = f"run {self._run_index} of {self._num_runs}"
        if self._num_done:
            num_left = self._num_runs - self._run_index + 1
            seconds = num_left * self._seconds_working / self._num_done
            text += f", about {readable_seconds(seconds)} left"
        return text

    def log(self, event: Event) -> None:
        """Pass an event on."""
        if event.kind == "run-end" and event.message == "finished":
            self._num_done += 1
            self._seconds_working += time.perf_counter() - self._begin
        for tracker in self._active:
            tracker.log(event)

    def close(self) -> None:
        """Close every tracker."""
        for tracker in self._active:
            tracker.close()


def readable_seconds(seconds: float) -> str:
    """Return a duration as people say it: `42 s`, `7 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
