"""Optimiser, learning-rate schedule and precision: the parts of a training step that every stage shares."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import nn

Precision = Literal["fp32", "bf16", "fp16"]


def warmup_cosine(
    step: int, total_steps: int, warmup_steps: int, lr: float, min_lr: float = 0.0
) -> float:
    """Return the learning rate of optimiser step `step`, counted from 1 to `total_steps`.

    Rises linearly to `lr` at step `warmup_steps`, then follows half a cosine that reaches
    `min_lr` exactly at the last step.

    Raises ValueError when the warm-up does not end before the run does.
    """
    if warmup_steps >= total_steps and total_steps > 0 and warmup_steps > 0:
        raise ValueError(f"warm-up of {warmup_steps} steps in a run of {total_steps} steps")
    if step <= warmup_steps:
        return lr * step / warmup_steps
    span = total_steps - max(warmup_steps, 1)
    progress = 1.0 if span <= 0 else (step - max(warmup_steps, 1)) / span
    return min_lr + (lr - min_lr) * 0.5 * (1 + math.cos(math.pi * progress))


def adamw(
    modules: Iterable[nn.Module],
    *,
    lr: float,
    weight_decay: float,
    betas: tuple[float, float] = (0.9, 0.98),
    eps: float = 1e-6,
) -> torch.optim.AdamW:
    """Return a fused AdamW over the trainable parameters of `modules`.

    Weight decay applies to matrices and kernels only: gains, biases and scalars (fewer than two
    dimensions) are exempt, as in CLIP (Radford et al. 2021, section 2.5).
    """
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [g for g in groups if g["params"]], lr=lr, betas=betas, eps=eps, fused=True
    )


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def autocast(device: str, precision: Precision) -> contextlib.AbstractContextManager[Any]:
    """Return the autocast context of a precision; fp32 is none."""
    if precision == "fp32":
        return contextlib.nullcontext()
    dtype = torch.bfloat16 if precision == "bf16" else torch.float16
    return torch.autocast(torch.device(device).type, dtype=dtype)
