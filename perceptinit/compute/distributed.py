"""What the processes of one run tell each other; alone, every function is that of a single process.

Processes are started by torchrun, which sets RANK, WORLD_SIZE and LOCAL_RANK. Tensors on a GPU go
through NCCL, everything else through gloo. Plain values travel as JSON, never as pickles.
"""

from __future__ import annotations

# B rows of all processes, b rows of one, D columns
import gc
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from perceptinit.compute.parent import end_with_parent
from perceptinit.errors import PerceptInitError, UsageError

T = TypeVar("T")

# after that, processes that wait for one that does not answer give up
TIMEOUT = timedelta(minutes=30)


class OtherProcessError(PerceptInitError):
    """Another process of the run failed; the message names it and its reason."""


def lost_contact(error: RuntimeError) -> OtherProcessError | None:
    """Return what to tell instead of torch's error when another process has ended; else None."""
    text = str(error)
    is_of_torch = isinstance(error, dist.DistError) or "peer" in text or "gloo" in text.lower()
    if world_size() == 1 or not is_of_torch:
        return None
    # without torch's place in its sources and its advice
    reason = re.sub(r"^\[[^]]*\]\s*", "", text.partition(" This is typically")[0].splitlines()[0])
    return OtherProcessError(
        f"another process of this run has ended or does not answer; its own message tells why ({reason})"
    )


def is_launched() -> bool:
    """Tell whether torchrun started this process."""
    return {"RANK", "WORLD_SIZE", "LOCAL_RANK"} <= os.environ.keys()


def local_device(device: str) -> str:
    """Return the device of this process: with several GPUs on a machine, each has its own.

    Raises UsageError for a GPU's number where several processes would meet on it, and when there are
    more processes than GPUs.
    """
    if not device.startswith("cuda") or not is_launched():
        return device
    if device != "cuda":
        raise UsageError(
            f"device '{device}' is one GPU, and each process needs its own: say --device cuda, and "
            "choose GPUs with CUDA_VISIBLE_DEVICES"
        )
    local, there = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if local >= there:
        raise UsageError(f"process {local} on this machine has no GPU: there are {there}. Lower --nproc")
    return f"cuda:{local}"


@contextmanager
def process_group() -> Iterator[None]:
    """Join the other processes for the block, when torchrun started this one."""
    if not is_launched() or dist.is_initialized():
        yield
        return
    end_with_parent()
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, timeout=TIMEOUT)
    yield
    # a model that DDP wrapped must be gone before the group: torch ends the group's threads when the
    # last holder goes, and a model that goes while Python runs would wait for threads that wait for it
    gc.collect()
    dist.destroy_process_group()  # after an error the others may not answer: the exit ends the group


def rank() -> int:
    """Return the number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_first() -> bool:
    """Tell whether this is the process that writes files and shows progress."""
    return rank() == 0


def gather_rows(rows: Tensor) -> Tensor:
    """Return the rows (b, ...) of all processes in the order of ranks, (B, ...); no gradients."""
    if world_size() == 1:
        return rows
    everything = rows.new_empty((world_size(), *rows.shape))
    dist.all_gather(list(everything), rows.contiguous())
    return everything.flatten(0, 1)


def sum_to_owners(rows: Tensor) -> Tensor:
    """Return this process's part (b, D) of the sum of `rows` (B, D) over the processes."""
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
    """Return the sum over the processes; equal bits everywhere."""
    if world_size() > 1:
        value = value.clone()
        dist.all_reduce(value)
    return value


def max_over_ranks(value: Tensor) -> Tensor:
    """Return the largest of the processes' values."""
    if world_size() > 1:
        value = value.clone()
        dist.all_reduce(value, op=dist.ReduceOp.MAX)
    return value


def share_of(rows: np.ndarray) -> np.ndarray:
    """Return every W-th of the rows, from that of this process's rank on; may be none."""
    return rows[rank() :: world_size()]


def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Put the sum of all processes' gradients into each parameter; a missing one counts as zero."""
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
    """Return the plain values of all processes in the order of ranks; cheap when all are None."""
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
    """Return what `choose` (a plain value) gives in the first process.

    Raises the error of `choose` there, and OtherProcessError in the others.
    """
    error: PerceptInitError | None = None
    answer: Any = None
    if is_first():
        try:
            answer = [choose(), None]
        except PerceptInitError as failure:
            error, answer = failure, [None, str(failure)]
    value, problem = exchange(answer)[0]
    if error is not None:
        raise error
    if problem is not None:
        raise OtherProcessError(f"process 0: {problem}")
    return value


def together(items: Iterable[T]) -> Iterator[T]:
    """Yield the items of this process while every process has one.

    When getting an item fails in one process, all stop: that one with its error, the others with
    an OtherProcessError that tells it, instead of waiting for ever.
    """
    source = iter(items)
    while True:
        error: Exception | None = None
        try:
            item = next(source)
        except Exception as failure:  # raised again once the others know
            error = failure
        told = exchange(None if error is None else f"{type(error).__name__}: {error}")
        if isinstance(error, StopIteration):
            return
        if error is not None:
            raise error
        for number, text in enumerate(told):
            if text is not None:
                raise OtherProcessError(f"process {number}: {text}")
        yield item
