"""The checkpoints of a run: when they are saved, and how files are written and read."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from perceptinit.compute import distributed
from perceptinit.errors import CheckpointError, Stopped, WriteError
from perceptinit.files.atomic import remove_files, temporaries
from perceptinit.files.checkpoints import load_state, split_state, write_state
from perceptinit.recipe.settings import CheckpointConfig
from perceptinit.running.interruption import CONTINUES, StopSignals

_FILE_NAME = re.compile(r"checkpoint-(\d{6,18})\.safetensors")


class Checkpoints:
    """Files `checkpoint-000012.safetensors` in a folder, numbered in the order of writing.

    `save` copies the tensors and returns. A thread writes the file, syncs it to disk, renames it and removes
    older ones, so a crash, a full disk or a kill at any moment leaves the last complete checkpoint intact.
    Other files in the folder are kept. Only rank 0 accesses files.

    Args:
        folder: `checkpoints` in the folder of the run.
        config: Schedule, and the number of checkpoints to keep.
        warn: Called with a message about files that cannot be removed or read.
        signals: Handler of stop signals.
    """

    def __init__(
        self,
        folder: Path,
        config: CheckpointConfig,
        warn: Callable[[str], None],
        signals: StopSignals | None = None,
    ) -> None:
        self.folder = folder
        self._config = config
        self._warn = warn
        self._signals = signals or StopSignals()
        self._reported: set[str] = set()
        self._last_time = time.monotonic()
        self._staged: dict[str, torch.Tensor] = {}
        self._writing: Future[list[str]] | None = None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")

    def sweep(self, everything: bool) -> None:
        """Remove the partial files of a killed process. With `everything`, also remove the checkpoints."""
        if not distributed.is_first():
            return
        run = self.folder.parent
        self._report(remove_files([*temporaries(run), *temporaries(run / "weights")]))
        if everything:
            self.clear()

    def after_step(self, step: int, save: Callable[[], None], always: bool = False) -> None:
        """Save if a checkpoint is due, if any process received a stop signal, or if `always` is set.

        Raises:
            Stopped: After a signal, once the checkpoint is on disk.
        """
        is_due = False
        if distributed.is_first():
            self.check()
            is_due = self.is_due(step)
        wishes = distributed.exchange(self._signals.asked or ("save" if is_due else None))
        stop = next((wish for wish in wishes if wish not in (None, "save")), None)
        if any(wishes) or always:
            save()
        if stop is not None:
            if distributed.is_first():
                self.wait()
            distributed.exchange(None)  # no process ends before the checkpoint is on disk
            raise Stopped(f"{stop} after step {step}, saved; {CONTINUES}")

    def is_due(self, step: int) -> bool:
        """Return whether a checkpoint is due at `step`, by steps or by minutes."""
        steps = self._config.every_steps
        minutes = self._config.every_minutes
        if steps and step % steps == 0:
            return True
        return bool(minutes) and time.monotonic() - self._last_time >= 60 * minutes

    def save(self, state: Mapping[str, Any]) -> None:
        """Start writing a state of nested dicts, lists, tensors and plain values.

        Raises:
            CheckpointError: If the previous checkpoint could not be written.
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
        """Raise CheckpointError if the last write failed. Does not wait for a write in progress."""
        if self._writing is not None and self._writing.done():
            self.wait()

    def wait(self) -> None:
        """Wait for the write in progress; CheckpointError if it fails."""
        writing = self._writing
        self._writing = None
        if writing is not None:
            self._report(writing.result())

    def newest(self, fingerprint: str | None = None) -> dict[str, Any] | None:
        """Return the newest readable state, or None if there are no checkpoints.

        A damaged checkpoint is reported, and the previous one is used.

        Raises:
            CheckpointError: If all checkpoints are damaged, or the fingerprint of the run differs.
        """
        paths = self._paths()
        for path in reversed(paths):
            try:
                state = load_state(path)
            except CheckpointError as error:
                self._warn(f"{error}; using the previous checkpoint")
                continue
            if fingerprint is not None and state["fingerprint"] != fingerprint:
                raise CheckpointError(f"{self.folder} contains checkpoints of another recipe. Use --fresh")
            return state
        if paths:
            raise CheckpointError(f"{self.folder}: all {len(paths)} checkpoints are damaged. Use --fresh")
        return None

    def clear(self) -> None:
        """Remove all checkpoints of the run; other files stay and are reported."""
        self.wait()
        self._report(remove_files([*self._paths(), *temporaries(self.folder)]))
        try:
            self.folder.rmdir()
        except FileNotFoundError:
            pass
        except OSError as error:
            self._report([f"{self.folder}: cannot be removed ({error.strerror or error})"])

    def _report(self, complaints: Sequence[str]) -> None:
        """Warn about files, once for each message."""
        for complaint in complaints:
            if complaint not in self._reported:
                self._reported.add(complaint)
                self._warn(complaint)

    def close(self) -> None:
        """Wait for the write in progress, whether or not it succeeds."""
        self._pool.shutdown(wait=True)

    def _copy_tensors(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Copy tensors into memory that the next checkpoint reuses."""
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

    def _write(self, path: Path, tree: Any) -> list[str]:
        """Write a checkpoint and return messages about older files that cannot be removed."""
        try:
            write_state(path, tree, self._staged)
        except Exception as error:  # the file system or safetensors may raise anything
            kept = self._paths()
            reason = error.reason if isinstance(error, WriteError) else error
            previous = f"{kept[-1].name} is intact" if kept else "no earlier checkpoint exists"
            message = f"{path}: the checkpoint could not be written ({reason}); {previous}"
            raise CheckpointError(f"{message}. Free disk space and rerun the command") from error
        return remove_files([*self._paths()[: -self._config.keep], *temporaries(self.folder)])

    def _paths(self) -> list[Path]:
        """Return the paths of the checkpoints, oldest first."""
        found = self.folder.glob("checkpoint-*.safetensors")
        return sorted((path for path in found if _FILE_NAME.fullmatch(path.name)), key=_number)


def _number(path: Path) -> int:
    return int(path.stem.rpartition("-")[2])
