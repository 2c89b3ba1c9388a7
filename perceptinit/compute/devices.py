"""Copies between the host and a GPU for which the host does not wait."""

from __future__ import annotations

import torch
from torch import Tensor


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
