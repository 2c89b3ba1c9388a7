"""Processes that decode images into shared memory, because the GIL limits threads.

The parent sends a short message per chunk of a batch. An idle process takes it, fills rows of a memory slot,
and sends token ids and keys back. A slot is reused when no tensor refers to it. The processes end with their
parent, because its pipes close. Nothing is written to disk.
"""

# b samples of a batch, V views of each, S = size: height and width of the square images
import fcntl
import mmap
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, cached_property, partial
from io import BytesIO
from math import prod
from multiprocessing.connection import Connection, Pipe
from queue import SimpleQueue
from selectors import EVENT_READ, DefaultSelector
from threading import Thread
from typing import Any

import numpy as np
import torch

from perceptinit.compute.devices import keep_freed_memory
from perceptinit.errors import PerceptInitError
from perceptinit.pairs.batches import Chunk

_MIN_CHUNK = 16  # minimum samples in a chunk
_MAX_CHUNKS = 4  # maximum chunks of a batch per process
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)

# fills images, uint8 (b, V, 3, S, S), with pairs of an epoch
Fill = Callable[[np.ndarray, int, list[int]], Chunk]
# the images of a batch, uint8 (b * V, 3, S, S), and its chunks
Loaded = tuple[torch.Tensor, list[Chunk]]
Shape = tuple[int, int, int, int, int]
# slot and first sample of a chunk
Job = tuple[int, int]
Process = subprocess.Popen[bytes]


class DecoderProcesses:
    """A pool of processes that fill batches.

    Args:
        fill: Fills a chunk; pickled for the processes.
        num_processes: Number of processes.
        shape: Shape of a batch's images, (b, V, S, S, 3).
        is_pinned: Whether to pin the memory for copies to a GPU.

    Raises:
        TypeError: If `fill` cannot be pickled. The message gives the reason.
    """

    def __init__(self, fill: Fill, num_processes: int, shape: Shape, is_pinned: bool) -> None:
        setup = _pickle((shape, fill))
        self._shape = shape
        self._is_pinned = is_pinned and torch.backends.cuda.is_built()
        self._chunk = max(_MIN_CHUNK, -(-shape[0] // (_MAX_CHUNKS * num_processes)))
        self._memory = _create_memory()
        self._slots: list[np.ndarray] = []
        self._free: deque[tuple[int, Any]] = deque()
        self._outcomes: dict[Job, Any] = {}
        self._selector = DefaultSelector()
        jobs, self._jobs = Pipe(duplex=False)
        self._processes = [self._start(jobs) for _ in range(num_processes)]
        jobs.close()
        try:
            for process, results in self._processes:
                with _alive(process):
                    results.send_bytes(setup)
                    problem = results.recv()
                if problem:
                    raise TypeError(problem)
        except BaseException:
            self.close()
            raise

    def begin(self, epoch: int, indices: list[int]) -> Callable[[], Loaded]:
        """Start loading a batch and return a function that waits for it."""
        slot, event = self._free.popleft() if self._free else (self._add_slot(), None)
        if event is not None:
            event.synchronize()  # waits until the slot is copied to the GPU
        jobs = [(slot, first) for first in range(0, len(indices), self._chunk)]
        with _alive(self._processes[0][0]):  # the pipe breaks when all processes have ended
            for job in jobs:
                self._jobs.send((job, epoch, indices[job[1] : job[1] + self._chunk]))
        return partial(self._collect, jobs)

    def close(self) -> None:
        """End the processes; tensors of their batches remain valid."""
        self._jobs.close()
        for process, results in self._processes:
            process.kill()
            process.wait()
            results.close()
        self._selector.close()
        os.close(self._memory)
        if self._is_pinned:
            torch.cuda.synchronize()
            for images in self._slots:
                torch.cuda.cudart().cudaHostUnregister(images.ctypes.data)

    def _start(self, jobs: Connection) -> tuple[Process, Connection]:
        results, sending = Pipe()
        passed = (jobs.fileno(), sending.fileno(), self._memory)
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "perceptinit.pairs.decoders", *map(str, passed)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=passed,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                "OMP_NUM_THREADS": "1",
                "CUDA_VISIBLE_DEVICES": "",
            },
            start_new_session=True,  # Ctrl-C must not reach it: the parent still needs batches
        )
        sending.close()
        self._selector.register(results, EVENT_READ, process)
        return process, results

    def _add_slot(self) -> int:
        slot = len(self._slots)
        os.ftruncate(self._memory, (slot + 1) * _slot_bytes(self._shape))
        images = _map(self._memory, self._shape, slot)
        if self._is_pinned:  # if this fails, `to_device` makes an additional copy
            torch.cuda.cudart().cudaHostRegister(images.ctypes.data, images.nbytes, 0)
        self._slots.append(images)
        return slot

    def _collect(self, jobs: list[Job]) -> Loaded:
        while not self._outcomes.keys() >= set(jobs):
            for key, _ in self._selector.select():
                with _alive(key.data):
                    job, outcome = key.fileobj.recv()  # type: ignore[union-attr]
                self._outcomes[job] = outcome
        chunks = [self._outcomes.pop(job) for job in jobs]
        for chunk in chunks:
            if isinstance(chunk, Exception):
                raise chunk
        slot, _ = jobs[0]
        images = self._slots[slot].reshape(-1, *self._shape[2:])
        weakref.finalize(images, _release, self._free, slot, self._is_pinned).atexit = False
        return torch.from_numpy(images).permute(0, 3, 1, 2), chunks


def _release(free: deque[tuple[int, Any]], slot: int, is_pinned: bool) -> None:
    """Free a slot whose tensors are deleted; it is reused after its queued copies to the GPU."""
    free.append((slot, torch.cuda.current_stream().record_event() if is_pinned else None))


@contextmanager
def _alive(process: Process) -> Iterator[None]:
    """Replace a closed-pipe error with one that reports how the process ended."""
    try:
        yield
    except (EOFError, OSError):
        code = process.wait()
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        raise PerceptInitError(
            f"an image-decoding process terminated with {how}. If memory ran out, lower num_workers or set "
            'decode_in = "threads". Then rerun the command to resume'
        ) from None


def _create_memory() -> int:
    """Return a descriptor of anonymous shared memory, which the kernel frees with the last process."""
    if hasattr(os, "memfd_create"):  # not limited by the size of /dev/shm
        return os.memfd_create("perceptinit-batches")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _slot_bytes(shape: Shape) -> int:
    return -(-prod(shape) // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY


def _map(memory: int, shape: Shape, slot: int) -> np.ndarray:
    pages = mmap.mmap(memory, prod(shape), offset=slot * _slot_bytes(shape))
    return np.frombuffer(pages, np.uint8).reshape(shape)


class _Pickler(pickle.Pickler):
    """Omits cached properties, such as an open index, and refuses models."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, torch.nn.Module):
            raise TypeError("a model cannot be sent to another process")
        names = getattr(obj, "__dict__", ())
        cached = {name for name in names if isinstance(getattr(type(obj), name, None), cached_property)}
        if not cached:
            return NotImplemented
        state = {name: value for name, value in obj.__getstate__().items() if name not in cached}
        return object.__new__, (type(obj),), state


def _pickle(setup: tuple[Shape, Fill]) -> bytes:
    out = BytesIO()
    try:
        _Pickler(out, pickle.HIGHEST_PROTOCOL).dump(setup)
    except Exception as error:  # pickling can raise any exception
        raise TypeError(str(error)) from error
    return out.getvalue()


def _send(outgoing: SimpleQueue[Any], results: Connection) -> None:
    """Send results until the parent exits; runs in a thread, so a full pipe does not block decoding."""
    try:
        while True:
            results.send(outgoing.get())
    except OSError:
        os._exit(0)


def _fill_chunks(jobs: Connection, results: Connection, memory: int, shape: Shape, fill: Fill) -> None:
    outgoing = SimpleQueue[Any]()
    Thread(target=_send, args=(outgoing, results), daemon=True).start()
    slots = cache(partial(_map, memory, shape))
    while True:
        fcntl.lockf(memory, fcntl.LOCK_EX)  # one process at a time waits for a job
        try:
            (slot, first), epoch, indices = jobs.recv()
        except EOFError:
            return
        finally:
            fcntl.lockf(memory, fcntl.LOCK_UN)
        images = slots(slot)[first : first + len(indices)].transpose(0, 1, 4, 2, 3)
        try:
            outcome: Chunk | Exception = fill(images, epoch, indices)
        except PerceptInitError as error:
            outcome = error
        except Exception as error:
            outcome = PerceptInitError(f"{type(error).__name__}: {error}")
        outgoing.put(((slot, first), outcome))


def main() -> None:
    """Fill chunks until the parent closes its pipe."""
    for number in _IGNORED:  # the parent needs batches until its checkpoint is saved
        signal.signal(number, signal.SIG_IGN)
    jobs = Connection(int(sys.argv[1]))
    results = Connection(int(sys.argv[2]))
    torch.set_num_threads(1)
    keep_freed_memory()
    try:
        shape, fill = pickle.loads(results.recv_bytes())
    except Exception as error:
        results.send(f"{type(error).__name__}: {error}")
        return
    results.send("")
    _fill_chunks(jobs, results, int(sys.argv[3]), shape, fill)


if __name__ == "__main__":
    with suppress(BrokenPipeError):  # the parent has exited
        main()
