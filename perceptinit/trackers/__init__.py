"""Built-in trackers, which receive the events of runs."""

from perceptinit.hookspecs import hookimpl
from perceptinit.registry import Component, built_in

_TRACKERS = {
    "console": (
        "console:Console",
        "a live table of arms x seeds with progress bars; plain lines without a terminal",
    ),
    "jsonl": ("jsonl:Jsonl", "every event as a JSON line in the folder of the run"),
}


@hookimpl
def perceptinit_trackers() -> list[Component]:
    return built_in(_TRACKERS, __name__)
