"""Built-in trackers, which receive the events of runs."""

from __future__ import annotations

from perceptinit.hookspecs import hookimpl
from perceptinit.registry import Component


@hookimpl
def perceptinit_trackers() -> list[Component]:
    return [
        Component(
            name="console",
            target="perceptinit.trackers.console:Console",
            summary="a live table of arms x seeds with progress bars; plain lines without a terminal",
        ),
        Component(
            name="jsonl",
            target="perceptinit.trackers.jsonl:Jsonl",
            summary="every event as a JSON line in the folder of the run",
        ),
    ]
