"""Device and memory of a process, and asynchronous copies between host and GPU."""

import ctypes
import os
import sys
from collections.abc import Mapping

import torch
from torch import Tensor

from perceptinit.errors import UsageError

# from glibc's malloc.h
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_NEVER_BYTES = 2**31 - 1


def choose_device(device: str) -> str:
    """Return a torch device string; `auto` selects a GPU if there is one, else the CPU.

    Raises:
        UsageError: If the device does not exist or is not supported (MPS).
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    reason = _reason_against(device)
    if reason:
        raise UsageError(f"device '{device}' cannot be used: {reason}. 'auto' uses a GPU if there is one")
    return device


def _reason_against(device: str) -> str:
    """Return the reason why a device is unusable, or ""; does not create a GPU context (0.5 GB)."""
    try:
        asked = torch.device(device)
        if asked.type not in ("cuda", "mps"):
            torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        return str(error).rstrip(".")
    if asked.type == "mps":
        return "losses and diagnostics need float64, which MPS does not support. Use 'cpu'"
    if asked.type == "cuda" and not torch.cuda.is_available():
        return "torch finds no NVIDIA GPU"
    if asked.type == "cuda" and (asked.index or 0) >= torch.cuda.device_count():
        return f"the available GPUs are 0 to {torch.cuda.device_count() - 1}"
    return ""


def set_up_process(device: str) -> None:
    """Set the CUDA device; on a CPU, use all available cores (or OMP_NUM_THREADS) and reuse freed memory."""
    asked = torch.device(device)
    if asked.type == "cuda" and asked.index is not None:
        torch.cuda.set_device(asked)
    if asked.type != "cpu":
        return
    keep_freed_memory()
    if "OMP_NUM_THREADS" not in os.environ and hasattr(os, "sched_getaffinity"):
        torch.set_num_threads(len(os.sched_getaffinity(0)))


def usable_cores() -> int:
    """Return the number of cores for this process, at least 1. Processes of torchrun divide the cores."""
    has_affinity = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    return max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def to_device(tensor: Tensor, device: torch.device | str) -> Tensor:
    """Copy a tensor to a device. Later work on the device waits for the copy; the host does not."""
    is_async = torch.device(device).type == "cuda"  # asynchronous copies to MPS may arrive too late
    if is_async and tensor.device.type == "cpu" and not tensor.is_pinned():
        tensor = tensor.pin_memory()  # copies of unpinned memory are synchronous
    return tensor.to(device, non_blocking=is_async)


def fetch(metrics: Mapping[str, Tensor | float]) -> dict[str, float]:
    """Return scalars as plain numbers, with one transfer for those on a GPU."""
    on_gpu = {n: v for n, v in metrics.items() if isinstance(v, Tensor) and v.is_cuda}
    values = {name: float(value) for name, value in metrics.items() if name not in on_gpu}
    if on_gpu:
        together = torch.stack([value.detach().double().reshape(()) for value in on_gpu.values()])
        values |= dict(zip(on_gpu, together.tolist(), strict=True))
    return {name: values[name] for name in metrics}


class Arriving:
    """Numbers that are copied from a device to the host asynchronously.

    Args:
        values: Result of work queued on the device, shape (N,).
    """

    def __init__(self, values: Tensor) -> None:
        is_on_gpu = values.is_cuda
        self._values = values.detach().to("cpu", non_blocking=is_on_gpu)
        self._arrival = torch.cuda.current_stream(values.device).record_event() if is_on_gpu else None

    def numbers(self) -> list[float]:
        """Return the numbers, after waiting for them but not for later work of the device."""
        if self._arrival is not None:
            self._arrival.synchronize()
        return self._values.tolist()


def keep_freed_memory() -> bool:
    """Let malloc reuse freed blocks of any size, and return whether the C library supports this (glibc).

    By default, glibc returns freed blocks above 32 MiB to the kernel, which clears and maps their pages again
    in every step. After this call, the process keeps its peak memory.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return False
    return all(mallopt(key, _NEVER_BYTES) for key in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD))
