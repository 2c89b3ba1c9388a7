"""Events of a run as JSON lines (`jsonl`)."""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from perceptinit.errors import writing
from perceptinit.results.record import plain
from perceptinit.types import Event, RunContext


class Jsonl:
    """Appends each event to a file in the folder of the run, as a strict JSON object on one line.

    A resumed run appends to the same file and may repeat steps; only the last line of a step is valid.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        file: str = "events.jsonl"
        """Name of the file in the folder of the run."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._file: IO[str] | None = None
        self._path = Path()

    def start(self, ctx: RunContext) -> None:
        """Open the file of a run; no file is written if the run has no folder."""
        self.close()
        if ctx.folder is not None:
            self._path = ctx.folder / self._config.file
            with writing(self._path):
                self._file = self._path.open("a", encoding="utf-8")

    def log(self, event: Event) -> None:
        """Append an event and flush the file.

        Raises:
            WriteError: If the file cannot be written.
        """
        if self._file is None:
            return
        row = {k: v for k, v in asdict(event).items() if v not in (None, "", (), {})}
        with writing(self._path):
            self._file.write(json.dumps(plain(row), allow_nan=False) + "\n")
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        file = self._file
        self._file = None
        if file is not None:
            with suppress(OSError):  # `log` raised the error; closing retries the write
                file.close()
