"""Communication of the processes of one run; every function also works in a single process.

torchrun starts the processes and sets RANK, WORLD_SIZE and LOCAL_RANK. Tensors on a GPU are sent through
NCCL, everything else through gloo. Plain values are sent as JSON, never as pickles.
"""

from __future__ import annotations

# B rows of all processes, b rows of one, D columns
import gc
import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from perceptinit.errors import PerceptInitError, UsageError

T = TypeVar("T")

TIMEOUT = timedelta(minutes=30)  # for a process that does not answer
# process id of a launcher of ours, which may die before its processes watch it
LAUNCHER = "PERCEPTINIT_LAUNCHER"
POLL_SECONDS = 0.5
GRACE_SECONDS = 60.0  # to finish a step and save it


class OtherProcessError(PerceptInitError):
    """Another process of the run failed; the message names it and its reason."""


def lost_contact(error: RuntimeError) -> OtherProcessError | None:
    """Return the error to raise instead of torch's if another process ended, else None."""
    text = str(error)
    is_of_torch = isinstance(error, dist.DistError) or "peer" in text or "gloo" in text.lower()
    if world_size() == 1 or not is_of_torch:
        return None
    # without torch's source line and advice
    reason = re.sub(r"^\[[^]]*\]\s*", "", text.partition(" This is typically")[0].splitlines()[0])
    return OtherProcessError(
        f"another process of this run has ended or does not answer: see its message ({reason})"
    )


def is_launched() -> bool:
    """Return whether torchrun started this process."""
    return {"RANK", "WORLD_SIZE", "LOCAL_RANK"} <= os.environ.keys()


def local_device(device: str) -> str:
    """Return the device of this process: with several GPUs on a machine, each has its own.

    Raises:
        UsageError: If several processes would share a GPU.
    """
    if not device.startswith("cuda") or not is_launched():
        return device
    if device != "cuda":
        raise UsageError(
            f"device '{device}' is one GPU, and each process needs its own. Use --device cuda, and choose "
            "GPUs with CUDA_VISIBLE_DEVICES"
        )
    local, num_gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if local >= num_gpus:
        raise UsageError(f"process {local} on this machine has no GPU: there are {num_gpus}. Lower --nproc")
    return f"cuda:{local}"


@contextmanager
def process_group() -> Iterator[None]:
    """Join the other processes for the block, if torchrun started this one."""
    if not is_launched() or dist.is_initialized():
        yield
        return
    end_with_parent()
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, timeout=TIMEOUT)
    yield
    # a model wrapped by DDP must be freed before the group: torch ends the group's threads with the last
    # reference, and a model that is freed by running Python code would wait for threads that wait for it
    gc.collect()
    dist.destroy_process_group()  # not after an error: the others may not answer, and the exit ends the group


def end_with_parent() -> None:
    """Watch the parent of this process. When it is gone, stop as by SIGTERM, then kill this process.

    A process that waits inside a library, such as for others that never come, does not react to SIGTERM.
    """
    parent = int(os.environ.get(LAUNCHER) or os.getppid())
    threading.Thread(target=_watch, args=(parent,), daemon=True, name="parent").start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


def rank() -> int:
    """Return the rank of this process, starting at 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_first() -> bool:
    """Return whether this process writes files and shows progress."""
    return rank() == 0


def gather_rows(rows: Tensor) -> Tensor:
    """Return the rows (b, ...) of all processes in the order of ranks, (B, ...), without gradients."""
    if world_size() == 1:
        return rows
    everything = rows.new_empty((world_size(), *rows.shape))
    dist.all_gather(list(everything), rows.contiguous())
    return everything.flatten(0, 1)


def sum_to_owners(rows: Tensor) -> Tensor:
    """Return this process's part (b, D) of the sum of `rows` (B, D) over all processes."""
    if world_size() == 1:
        return rows
    size = len(rows) // world_size()
    if rows.is_cuda:
        own = rows.new_empty((size, *rows.shape[1:]))
        dist.reduce_scatter(own, list(rows.contiguous().split(size)))
        return own
    dist.all_reduce(rows)  # gloo of older releases has no reduce-scatter
    return rows[rank() * size : (rank() + 1) * size].contiguous()


def sum_over_ranks(value: Tensor) -> Tensor:
    """Return the sum over all processes, bitwise identical on each."""
    if world_size() > 1:
        value = value.clone()
        dist.all_reduce(value)
    return value


def max_over_ranks(value: Tensor) -> Tensor:
    """Return the maximum over all processes."""
    if world_size() > 1:
        value = value.clone()
        dist.all_reduce(value, op=dist.ReduceOp.MAX)
    return value


def share_of(rows: np.ndarray) -> np.ndarray:
    """Return every W-th row, starting at this process's rank; may be empty."""
    return rows[rank() :: world_size()]


def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its sum over all processes; a missing gradient counts as zero."""
    if world_size() == 1:
        return
    parameters = list(parameters)
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def exchange(value: Any) -> list[Any]:
    """Return the plain values of all processes in the order of ranks; cheap if all are None."""
    if world_size() == 1:
        return [value]
    data = b"" if value is None else json.dumps(value).encode()
    sizes = gather_rows(torch.tensor([len(data)])).tolist()
    width = max(sizes)
    if not width:
        return [None] * world_size()
    padded = torch.frombuffer(bytearray(data.ljust(width, b" ")), dtype=torch.uint8)
    rows = gather_rows(padded[None]).numpy()
    return [json.loads(row.tobytes()[:size]) if size else None for row, size in zip(rows, sizes, strict=True)]


def decide(choose: Callable[[], T]) -> T:
    """Return the plain value that `choose` returns in the first process.

    Raises:
        PerceptInitError: In the first process, the error of `choose`.
        OtherProcessError: In the others, with the message of that error.
    """
    answer: Any = None
    try:
        if is_first():
            answer = [choose(), None]
    except PerceptInitError as error:
        exchange([None, str(error)])
        raise
    value, problem = exchange(answer)[0]
    if problem is not None:
        raise OtherProcessError(f"process 0: {problem}")
    return value


def together(items: Iterable[T]) -> Iterator[T]:
    """Yield the items of this process while every process has one.

    If one process fails to get an item, all stop instead of waiting forever: that one raises its error, the
    others an OtherProcessError with its message.
    """
    source = iter(items)
    while True:
        try:
            item = next(source)
        except Exception as error:
            exchange(f"{type(error).__name__}: {error}")
            if isinstance(error, StopIteration):
                return
            raise
        for number, text in enumerate(exchange(None)):
            if text is not None:
                raise OtherProcessError(f"process {number}: {text}")
        yield item
