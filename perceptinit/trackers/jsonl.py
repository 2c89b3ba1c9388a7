"""Every event of a run as one JSON line."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from perceptinit.errors import writing
from perceptinit.results.record import plain
from perceptinit.types import Event, RunContext


class Jsonl:
    """Appends events to `<run folder>/<file>`, one strict JSON object a line, flushed each time.

    A continued run appends to the same file; lines of work that was lost stay in it, so readers
    take the last line of a step.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        file: str = "events.jsonl"
        """Name of the file in the run's folder."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._file: IO[str] | None = None
        self._path = Path()

    def start(self, ctx: RunContext) -> None:
        self.close()
        if ctx.folder is not None:
            self._path = ctx.folder / self._config.file
            with writing(self._path):
                self._file = self._path.open("a", encoding="utf-8")

    def log(self, event: Event) -> None:
        if self._file is None:
            return
        row = {k: v for k, v in asdict(event).items() if v not in (None, "", (), {})}
        with writing(self._path):
            self._file.write(json.dumps(plain(row), allow_nan=False) + "\n")
            self._file.flush()

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):  # told by `log`; Python tries again what did not fit
                file.close()
