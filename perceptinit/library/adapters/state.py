"""Work on a model in float32 and on one device, and leave everything but the weights as it was found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from perceptinit.errors import UsageError


def device_of(module: nn.Module) -> torch.device:
    """Return where a module's weights are.

    Raises UsageError when they are on several devices, or are not there yet (meta).
    """
    devices = sorted({str(tensor.device) for tensor in _tensors(module)})
    if devices == ["meta"]:
        raise UsageError(
            "the model has no weights yet (torch's meta device): materialise them first"
        )
    if len(devices) != 1:
        raise UsageError(
            f"the model's weights are on {', '.join(devices)}: put them on one device first"
        )
    return torch.device(devices[0])


@contextmanager
def in_float32(module: nn.Module, device: torch.device) -> Iterator[None]:
    """Give the block a module in float32 on `device`, outside of autocast and with gradients enabled.

    Afterwards device, dtype, requires_grad, gradients and modes of every tensor and module are as
    before. When the block raises, so are the weights.
    """
    tensors = _tensors(module)
    found = [(t, t.device, t.dtype, t.requires_grad, t.grad) for t in tensors]
    copies = [t.detach().to("cpu", copy=True) for t in tensors]
    modes = {m: m.training for m in module.modules()}
    try:
        for t in tensors:
            t.grad = None
            t.data = t.data.to(device, torch.float32 if t.is_floating_point() else t.dtype)
        with torch.enable_grad(), torch.autocast(device.type, enabled=False):
            yield
    except BaseException:
        for t, copy in zip(tensors, copies, strict=True):
            t.data = copy
        raise
    finally:
        for t, place, dtype, requires_grad, grad in found:
            t.data = t.data.to(place, dtype)
            if t.requires_grad != requires_grad:
                t.requires_grad_(requires_grad)
            t.grad = grad
        for m, mode in modes.items():
            m.training = mode


def _tensors(module: nn.Module) -> list[Tensor]:
    """Return parameters and buffers, each once."""
    return list({id(t): t for t in (*module.parameters(), *module.buffers())}.values())
