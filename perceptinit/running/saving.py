"""When the state of a run is kept, when a run stops for a signal, and what is swept away."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from perceptinit.compute import distributed
from perceptinit.errors import CheckpointError
from perceptinit.files.atomic import remove_files, temporaries
from perceptinit.recipe.settings import CheckpointConfig
from perceptinit.running.interruption import CONTINUES, Stopped, StopSignals
from perceptinit.running.run_checkpoints import Checkpoints


class Saving:
    """Keeps the states of the run in `folder`; of several processes, the first alone touches files.

    signals: those that the run listens for. warn: is told a sentence about files that cannot be removed or read.
    """

    def __init__(
        self,
        folder: Path,
        config: CheckpointConfig,
        signals: StopSignals,
        warn: Callable[[str], None],
    ) -> None:
        self._folder, self._signals, self._warn = folder, signals, warn
        self._is_first = distributed.is_first()
        self._checkpoints = Checkpoints(folder / "checkpoints", config, warn)

    def sweep(self, everything: bool) -> None:
        """Remove what a killed process has left: half-written files, and checkpoints when asked."""
        if not self._is_first:
            return
        left = [*temporaries(self._folder), *temporaries(self._folder / "weights")]
        for complaint in remove_files(left):
            self._warn(complaint)
        if everything:
            self._checkpoints.clear()

    def after_step(self, step: int, save: Callable[[], None], always: bool = False) -> None:
        """Save when any process wants it, all together; raise Stopped, with all on disk, when one was asked to stop."""
        wishes = distributed.exchange(self._wish(step))
        stop = next((wish for wish in wishes if wish not in (None, "save")), None)
        if any(wishes) or always:
            save()
        if stop is not None:
            self._stop(stop, step)

    def _wish(self, step: int) -> str | None:
        """Return what this process wants after a step: what is said of a signal, "save", or nothing."""
        if self._is_first:
            self._checkpoints.check()
        if self._signals.asked:
            return self._signals.asked
        return "save" if self._is_first and self._checkpoints.is_due(step) else None

    def _stop(self, asked: str, step: int) -> None:
        if self._is_first:
            self._checkpoints.wait()
        distributed.exchange(None)  # nobody ends, and has the others ended, before all is on disk
        raise Stopped(f"{asked} after step {step}, saved; {CONTINUES}")

    def save(self, state: Mapping[str, Any]) -> None:
        """Begin to write a state; see `Checkpoints.save`. Of the first process only."""
        self._checkpoints.save(state)

    def newest(self, fingerprint: str) -> dict[str, Any] | None:
        """Return the newest state that can be read, None when there is none; see `Checkpoints.newest`.

        Raises CheckpointError when it belongs to a run with another fingerprint.
        """
        state = self._checkpoints.newest()
        if state is not None and state["fingerprint"] != fingerprint:
            raise CheckpointError(
                f"{self._checkpoints.folder} belongs to another recipe; use --fresh"
            )
        return state

    def close(self) -> None:
        """Let a write that has begun come to its end, whether it succeeds or not."""
        self._checkpoints.close()
