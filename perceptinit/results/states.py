"""What state a run is in, told from its folder alone: everybody who asks, asks here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from perceptinit.errors import DataError
from perceptinit.results.claims import is_claimed
from perceptinit.results.record import RECORD, read_record

State = Literal[
    "finished", "running", "interrupted", "failed", "stopped", "not started", "unreadable"
]


@dataclass(frozen=True, slots=True)
class RunState:
    """A run as its folder shows it.

    state: `stopped` is a run whose process is gone without a word, as after a kill or a power cut;
    `not started` one that nobody began.
    record: empty when there is none, or none that can be read.
    reason: why it is not finished, as far as it is known.
    """

    state: State
    record: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""

    @property
    def is_finished(self) -> bool:
        return self.state == "finished"


def run_state(folder: Path) -> RunState:
    """Return the state of the run in `folder`, whether or not there is such a folder."""
    if not (folder / RECORD).exists():
        return _without_record(folder)
    try:
        record = read_record(folder / RECORD)
    except DataError as error:
        return RunState("unreadable", reason=str(error))
    if record["status"] == "running" and not is_claimed(folder):
        reason = "its process is gone; the same `perceptinit run` continues it"
        return RunState("stopped", record, reason)
    return RunState(record["status"], record, record.get("error", ""))


def _without_record(folder: Path) -> RunState:
    if not folder.exists():
        return RunState("not started")
    if is_claimed(folder):
        return RunState("running", reason="in its first stage")
    return RunState("stopped", reason="ended before its first record")
