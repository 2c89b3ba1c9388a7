"""Communication between the processes of a run. Every function also works in a single process.

torchrun starts the processes and sets RANK, WORLD_SIZE and LOCAL_RANK. GPU tensors use NCCL, and all other
data uses gloo. Plain values are sent as JSON, never as pickles.
"""

# B rows over all ranks, b rows on one rank, D columns
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

TIMEOUT = timedelta(minutes=30)  # for a process that does not respond
# process id of our launcher, which may die before its processes watch it
LAUNCHER = "PERCEPTINIT_LAUNCHER"
POLL_SECONDS = 0.5
GRACE_SECONDS = 60.0  # to finish a step and save its state


class OtherProcessError(PerceptInitError):
    """Another process of the run failed, exited or is not responding."""


def lost_contact(error: RuntimeError) -> OtherProcessError | None:
    """Return an error to raise instead of torch's if another process ended, else None."""
    text = str(error)
    is_of_torch = isinstance(error, dist.DistError) or "peer" in text or "gloo" in text.lower()
    if world_size() == 1 or not is_of_torch:
        return None
    # removes torch's source line and advice
    reason = re.sub(r"^\[[^]]*\]\s*", "", text.partition(" This is typically")[0].splitlines()[0])
    return OtherProcessError(
        f"another process of this run ended or does not respond ({reason}). See the message of that process"
    )


def is_launched() -> bool:
    """Return whether torchrun started this process."""
    return {"RANK", "WORLD_SIZE", "LOCAL_RANK"} <= os.environ.keys()


def local_device(device: str) -> str:
    """Return the device of this process; with torchrun, each process has a separate GPU.

    Raises:
        UsageError: If several processes would share a GPU.
    """
    if not device.startswith("cuda") or not is_launched():
        return device
    if device != "cuda":
        raise UsageError(
            f"device '{device}' is one GPU, but each process needs a separate GPU. Use --device cuda, and "
            "select GPUs with CUDA_VISIBLE_DEVICES"
        )
    local = int(os.environ["LOCAL_RANK"])
    num_gpus = torch.cuda.device_count()
    if local >= num_gpus:
        raise UsageError(f"local rank {local} has no GPU: this machine has {num_gpus}. Lower --nproc")
    return f"cuda:{local}"


@contextmanager
def process_group() -> Iterator[None]:
    """Join the process group for the block, if torchrun started this process."""
    if not is_launched() or dist.is_initialized():
        yield
        return
    end_with_parent()
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, timeout=TIMEOUT)
    yield
    # free models wrapped by DDP before the group: torch ends the group's threads with the last reference, and
    # a model freed by Python code later would deadlock with these threads
    gc.collect()
    dist.destroy_process_group()  # not after an error: other processes may not respond


def end_with_parent() -> None:
    """Watch the parent of this process. When the parent exits, send SIGTERM to this process, then SIGKILL.

    A process that is blocked in a library call, such as a wait for other processes, does not react to
    SIGTERM.
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
    """Return whether this is rank 0, which writes files and shows progress."""
    return rank() == 0


def gather_rows(rows: Tensor) -> Tensor:
    """Return the rows (b, ...) of all ranks in order, (B, ...), without gradients."""
    if world_size() == 1:
        return rows
    everything = rows.new_empty((world_size(), *rows.shape))
    dist.all_gather(list(everything), rows.contiguous())
    return everything.flatten(0, 1)


def sum_to_owners(rows: Tensor) -> Tensor:
    """Return this rank's part (b, D) of the sum of `rows` (B, D) over all ranks."""
    if world_size() == 1:
        return rows
    size = len(rows) // world_size()
    if rows.is_cuda:
        own = rows.new_empty((size, *rows.shape[1:]))
        dist.reduce_scatter(own, list(rows.contiguous().split(size)))
        return own
    dist.all_reduce(rows)  # older releases of gloo have no reduce-scatter
    return rows[rank() * size : (rank() + 1) * size].contiguous()


def reduce_over_ranks(value: Tensor, op: Any = dist.ReduceOp.SUM) -> Tensor:
    """Return the sum, or another reduction, over all ranks, bitwise identical on each."""
    if world_size() > 1:
        value = value.clone()
        dist.all_reduce(value, op=op)
    return value


def share_of(rows: np.ndarray) -> np.ndarray:
    """Return every W-th row, starting at the rank of this process; may be empty."""
    return rows[rank() :: world_size()]


def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its sum over all ranks; a missing gradient counts as zero."""
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
    """Return the plain values of all ranks in order. This is cheap if all are None."""
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
    """Return, on every rank, the JSON-serializable value that `choose` returns on rank 0.

    Raises:
        PerceptInitError: On rank 0, the error of `choose`.
        OtherProcessError: On other ranks, with the message of that error.
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
    """Yield the items of this rank as long as every rank has an item.

    If one rank fails to get an item, all ranks stop instead of waiting forever. The failed rank raises its
    error, the others an OtherProcessError with its message.
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
