"""Optimizer, learning-rate schedule and precision, shared by all training stages."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import torch
from torch import nn

Precision = Literal["fp32", "tf32", "bf16", "fp16"]

# names of the list of a tower's blocks in timm, open_clip and transformers
BLOCK_LISTS = ("blocks", "resblocks", "layers", "layer", "stages")
_BLOCK = re.compile(rf"(?:^|\.)(?:{'|'.join(BLOCK_LISTS)})\.(\d+)\.")


def warmup_cosine(
    step: int,
    total_steps: int,
    warmup_steps: int,
    lr: float,
    min_lr: float = 0.0,
    warmup_lr: float | None = None,
) -> float:
    """Return the learning rate of optimizer step `step`, counted from 1 to `total_steps`.

    It rises linearly to `lr` at step `warmup_steps`, from `warmup_lr` at step 1 or, by default, from 0 at
    step 0. Then it follows half a cosine that reaches `min_lr` at the last step.

    Raises:
        ValueError: If the warm-up does not end before the run.
    """
    if warmup_steps >= total_steps and total_steps > 0 and warmup_steps > 0:
        raise ValueError(f"warm-up of {warmup_steps} steps in a run of {total_steps} steps")
    if step <= warmup_steps:
        if warmup_lr is None or warmup_steps == 1:
            return lr * step / warmup_steps
        return warmup_lr + (lr - warmup_lr) * (step - 1) / (warmup_steps - 1)
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
    fused: bool = True,
    lr_scales: Mapping[nn.Parameter, float] | None = None,
) -> torch.optim.AdamW:
    """Return an AdamW over the trainable parameters of `modules`.

    Weight decay applies to matrices and kernels only: gains, biases and scalars (fewer than two dimensions)
    are exempt, as in CLIP (Radford et al. 2021, section 2.5).

    Args:
        modules: Modules with the parameters.
        lr: Learning rate.
        weight_decay: Weight decay of matrices and kernels.
        betas: Decay rates of the moments.
        eps: Term added to the denominator.
        fused: Use one kernel for all parameters, several times faster than a loop over them.
        lr_scales: Factors on the learning rate, 1 by default.
    """
    scales = lr_scales or {}
    groups: dict[tuple[bool, float, type], list[nn.Parameter]] = {}
    for parameter in (p for module in modules for p in module.parameters() if p.requires_grad):
        # sharded parameters cannot share a group with others
        key = (parameter.ndim < 2, scales.get(parameter, 1.0), type(parameter.data))
        groups.setdefault(key, []).append(parameter)
    described = [
        {"params": groups[key], "weight_decay": 0.0 if key[0] else weight_decay, "lr_scale": key[1]}
        for key in sorted(groups, key=lambda key: (key[0], -key[1], key[2].__name__))
    ]
    return torch.optim.AdamW(described, lr=lr, betas=betas, eps=eps, fused=fused)


def layer_lr_scales(tower: nn.Module, decay: float) -> dict[nn.Parameter, float]:
    """Return the factor of each parameter for layer-wise decay of the learning rate; empty for a decay of 1.

    Block k of n (from 1) has decay^(n + 1 - k), layers before the blocks decay^(n + 1), and layers after
    them, such as the projection, 1. timm's parameter groups require a group_matcher, which open_clip's towers
    lack.
    Source: BEiT (Bao et al. 2022).

    Raises:
        ValueError: If the tower has no numbered blocks.
    """
    if decay == 1:
        return {}
    named = list(tower.named_parameters())
    blocks = [_BLOCK.search(name) for name, _ in named]
    numbers = [int(match.group(1)) for match in blocks if match]
    if not numbers:
        raise ValueError("layer_decay: the image tower has no numbered blocks; leave the key at 1")
    num_blocks = max(numbers) + 1
    end = max(i for i, match in enumerate(blocks) if match)
    scales = {}
    for i, ((name, parameter), match) in enumerate(zip(named, blocks, strict=True)):
        # layers listed after the blocks, and open_clip's projection, which is listed before them
        is_head = i > end or name.endswith("proj")
        layer = int(match.group(1)) if match else (num_blocks if is_head else -1)
        scales[parameter] = decay ** (num_blocks - layer)
    return scales


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of every parameter group, times its `lr_scale`."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("lr_scale", 1.0)


def autocast(device: str, precision: Precision) -> contextlib.AbstractContextManager[Any]:
    """Return a context in which a model computes in a precision."""
    if precision in ("fp32", "tf32"):
        return matmul_precision(precision)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float16
    return torch.autocast(torch.device(device).type, dtype=dtype)


@contextlib.contextmanager
def matmul_precision(precision: Precision) -> Iterator[None]:
    """Use TF32 (10 bits of mantissa, NVIDIA GPUs) in float32 products and convolutions for "tf32" only."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    is_tf32 = precision == "tf32"
    torch.set_float32_matmul_precision("high" if is_tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = is_tf32  # torch's own default is True
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]
