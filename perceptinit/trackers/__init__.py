"""Trackers: where the numbers of a run go."""

from __future__ import annotations

from perceptinit.hookspecs import hookimpl
from perceptinit.registry import Component


@hookimpl
def perceptinit_trackers() -> list[Component]:
    return [
        Component(
            name="console",
            target="perceptinit.trackers.console:Console",
            summary="a live table of arms x seeds with bars and time left; plain lines when not a terminal",
        ),
        Component(
            name="jsonl",
            target="perceptinit.trackers.jsonl:Jsonl",
            summary="every event as one JSON line in the run's folder",
        ),
    ]
