"""Which device a process works on, and copies between host and GPU for which the host does not wait."""

from __future__ import annotations

import os

import torch
from torch import Tensor

from perceptinit.compute.memory import keep_freed_memory
from perceptinit.errors import UsageError


def choose_device(device: str) -> str:
    """Return a torch device string; `auto` takes a GPU when there is one."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).rstrip(".")
        raise UsageError(
            f"device '{device}' cannot be used: {reason}. 'auto' takes a GPU where there is one"
        ) from error
    return device


def set_up_process(device: str) -> None:
    """On a CPU, use the cores that this process may use, and freed memory again.

    OMP_NUM_THREADS in the environment wins.
    """
    if device != "cpu":
        return
    keep_freed_memory()
    if "OMP_NUM_THREADS" not in os.environ and hasattr(os, "sched_getaffinity"):
        torch.set_num_threads(len(os.sched_getaffinity(0)))


def to_device(tensor: Tensor, device: torch.device | str) -> Tensor:
    """Return a tensor on a device; work that the device gets later waits for the copy, the host does not."""
    if torch.device(device).type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()  # other memory is copied while the host waits
    return tensor.to(device, non_blocking=True)


class Arriving:
    """Numbers that a device computes, on their way to the host."""

    def __init__(self, values: Tensor) -> None:
        """values: (N,), computed by work that the device has been given."""
        is_on_gpu = values.is_cuda
        self._values = values.detach().to("cpu", non_blocking=is_on_gpu)
        self._arrival = (
            torch.cuda.current_stream(values.device).record_event() if is_on_gpu else None
        )

    def numbers(self) -> list[float]:
        """Wait for the numbers, not for what the device was given after them, and return them."""
        if self._arrival is not None:
            self._arrival.synchronize()
        return self._values.tolist()
