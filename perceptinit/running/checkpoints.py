"""The checkpoints of a run: when one is written, and files that are whole or not there, the newest few kept."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from perceptinit.compute import distributed
from perceptinit.errors import CheckpointError, WriteError
from perceptinit.files.atomic import remove_files, temporaries
from perceptinit.files.checkpoints import load_state, split_state, write_state
from perceptinit.recipe.settings import CheckpointConfig
from perceptinit.running.interruption import CONTINUES, Stopped, StopSignals

_FILE_NAME = re.compile(r"checkpoint-(\d{6,18})\.safetensors")


class Checkpoints:
    """Files `checkpoint-000012.safetensors` in `folder`, numbered as they were written.

    `save` copies the tensors and returns; a thread writes the file, syncs it to disk, gives it its
    name and removes older ones. So a crash, a full disk or a kill at any moment leaves the last
    complete checkpoint in place. Other files in the folder are left alone. Of several processes that work on
    the run, the first alone touches files.

    Args:
        folder: `checkpoints` in the folder of the run.
        config: When a checkpoint is due, and how many are kept.
        warn: Is called with a sentence about files that cannot be removed or read.
        signals: Those that the run listens for.
    """

    def __init__(
        self,
        folder: Path,
        config: CheckpointConfig,
        warn: Callable[[str], None],
        signals: StopSignals | None = None,
    ) -> None:
        self._signals = signals or StopSignals()
        self._is_first = distributed.is_first()
        self.folder = folder
        self._config = config
        self._warn = warn
        self._complaints: list[str] = []
        self._reported: set[str] = set()
        self._last_time = time.monotonic()
        self._staged: dict[str, torch.Tensor] = {}
        self._writing: Future[None] | None = None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")

    def sweep(self, everything: bool) -> None:
        """Remove what a killed process left: half-written files, and with `everything` the checkpoints."""
        if not self._is_first:
            return
        run = self.folder.parent
        for complaint in remove_files([*temporaries(run), *temporaries(run / "weights")]):
            self._warn(complaint)
        if everything:
            self.clear()

    def after_step(self, step: int, save: Callable[[], None], always: bool = False) -> None:
        """Save when any process wants it, all together; raise Stopped, with all on disk, after a signal to stop."""
        if self._is_first:
            self.check()
        wish = "save" if self._is_first and self.is_due(step) else None
        wishes = distributed.exchange(self._signals.asked or wish)
        stop = next((wish for wish in wishes if wish not in (None, "save")), None)
        if any(wishes) or always:
            save()
        if stop is not None:
            if self._is_first:
                self.wait()
            distributed.exchange(None)  # no process ends before all is on disk
            raise Stopped(f"{stop} after step {step}, saved; {CONTINUES}")

    def is_due(self, step: int) -> bool:
        """Return whether the steps or minutes between two checkpoints are over at `step`."""
        steps, minutes = self._config.every_steps, self._config.every_minutes
        if steps and step % steps == 0:
            return True
        return bool(minutes) and time.monotonic() - self._last_time >= 60 * minutes

    def save(self, state: Mapping[str, Any]) -> None:
        """Begin to write a state: nested dicts, lists, tensors and plain values.

        Raises CheckpointError when the one before could not be written.
        """
        self.wait()
        tree, tensors = split_state(state)
        self._copy_tensors(tensors)
        paths = self._paths()
        number = _number(paths[-1]) + 1 if paths else 1
        path = self.folder / f"checkpoint-{number:06d}.safetensors"
        self._writing = self._pool.submit(self._write, path, tree)
        self._last_time = time.monotonic()

    def check(self) -> None:
        """Raise the CheckpointError of a write that has failed by now; does not wait for one."""
        if self._writing is not None and self._writing.done():
            self.wait()

    def wait(self) -> None:
        """Wait for a write that has begun; CheckpointError when it fails."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()
        self._report_complaints()

    def newest(self, fingerprint: str | None = None) -> dict[str, Any] | None:
        """Return the newest state that can be read, None when there is none.

        A damaged file is reported, and the one before it is used. Raises CheckpointError when all are damaged,
        and for a state of a run with another fingerprint.
        """
        paths = self._paths()
        for path in reversed(paths):
            try:
                state = load_state(path)
            except CheckpointError as error:
                self._warn(f"{error}; the checkpoint before it is used")
                continue
            if fingerprint is not None and state["fingerprint"] != fingerprint:
                raise CheckpointError(f"{self.folder} belongs to another recipe; use --fresh")
            return state
        if paths:
            raise CheckpointError(
                f"{self.folder}: none of {len(paths)} checkpoints can be read; --fresh starts over"
            )
        return None

    def clear(self) -> None:
        """Remove all checkpoints of the run; other files stay and are reported."""
        self.wait()
        self._complaints += remove_files([*self._paths(), *temporaries(self.folder)])
        try:
            self.folder.rmdir()
        except FileNotFoundError:
            pass
        except OSError as error:
            self._complaints.append(f"{self.folder}: stays there ({error.strerror or error})")
        self._report_complaints()

    def _report_complaints(self) -> None:
        for complaint in self._complaints:
            if complaint not in self._reported:
                self._warn(complaint)
        self._reported.update(self._complaints)
        self._complaints = []

    def close(self) -> None:
        """Let a write that has begun come to its end, whether it succeeds or not."""
        self._pool.shutdown(wait=True)

    def _copy_tensors(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Copy tensors into memory that is used again for the next checkpoint."""
        for name, tensor in tensors.items():
            staged = self._staged.get(name)
            if staged is None or staged.shape != tensor.shape or staged.dtype != tensor.dtype:
                staged = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda)
                self._staged[name] = staged
            staged.copy_(tensor.detach(), non_blocking=tensor.is_cuda)
        for name in self._staged.keys() - tensors.keys():
            del self._staged[name]
        for device in {tensor.device for tensor in tensors.values() if tensor.is_cuda}:
            torch.cuda.synchronize(device)

    def _write(self, path: Path, tree: Any) -> None:
        try:
            write_state(path, tree, self._staged)
        except Exception as error:  # whatever the file system or safetensors raise
            kept = self._paths()
            reason = error.reason if isinstance(error, WriteError) else error
            there = f"{kept[-1].name} is intact" if kept else "there is none before it"
            raise CheckpointError(
                f"{path}: the checkpoint could not be written ({reason}); {there}. Make room and "
                "give the same command again"
            ) from error
        old = self._paths()[: -self._config.keep]
        self._complaints += remove_files([*old, *temporaries(self.folder)])

    def _paths(self) -> list[Path]:
        """Return the checkpoints, the oldest first."""
        there = self.folder.glob("checkpoint-*.safetensors")
        return sorted((path for path in there if _FILE_NAME.fullmatch(path.name)), key=_number)


def _number(path: Path) -> int:
    return int(path.stem.rpartition("-")[2])
