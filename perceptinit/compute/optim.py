"""Optimizer, learning-rate schedule and precision of all training stages."""

import contextlib
import importlib
import math
import platform
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any, Literal

import torch
from torch import nn

from perceptinit.errors import UsageError, problems_of

Precision = Literal["fp32", "tf32", "bf16", "fp16", "auto"]
PROBE_SECONDS = 0.5  # for each precision
_ADVICE = "timm.optim.list_optimizers() lists the names, such as nadamuon, lion, adopt"

# attribute names of the block list in timm, open_clip and transformers
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
    """Return the learning rate at a step, counted from 1 to `total_steps`.

    The rate increases linearly to `lr` at step `warmup_steps`, from `warmup_lr` at step 1 or, by default,
    from 0 at step 0. A cosine decay to `min_lr` at the last step follows.

    Args:
        step: Number of the step.
        total_steps: Number of steps of the run.
        warmup_steps: Number of warm-up steps, fewer than `total_steps`.
        lr: Peak learning rate.
        min_lr: Learning rate of the last step.
        warmup_lr: Learning rate of the first step, or None.
    """
    if step <= warmup_steps:
        if warmup_lr is None or warmup_steps == 1:
            return lr * step / warmup_steps
        return warmup_lr + (lr - warmup_lr) * (step - 1) / (warmup_steps - 1)
    span = total_steps - max(warmup_steps, 1)
    progress = 1.0 if span <= 0 else (step - max(warmup_steps, 1)) / span
    return min_lr + (lr - min_lr) * 0.5 * (1 + math.cos(math.pi * progress))


def make_optimizer(
    modules: Iterable[nn.Module],
    name: str | None = None,
    *,
    lr: float,
    weight_decay: float,
    betas: tuple[float, float] = (0.9, 0.98),
    eps: float = 1e-6,
    fused: bool = True,
    lr_scales: Mapping[nn.Parameter, float] | None = None,
    no_decay: Sequence[str] = (),
) -> torch.optim.Optimizer:
    """Return an optimizer for the trainable parameters of `modules`.

    Weight decay applies to matrices and kernels only: gains, biases and scalars (fewer than two dimensions)
    are exempt, as in CLIP (Radford et al. 2021, section 2.5). Optimizers for matrices, such as Muon, use
    their fallback (AdamW) for these parameters, for embeddings and for patch embeddings.

    Args:
        modules: Modules with the parameters.
        name: None or "adamw", the name of a timm optimizer, or "package.module:Class".
        lr: Learning rate.
        weight_decay: Weight decay of matrices and kernels.
        betas: Decay rates of the moments, for optimizers with two moments.
        eps: Term added to the denominator, for optimizers with such a term.
        fused: Use AdamW's fused kernel, several times faster than a loop over parameters.
        lr_scales: Factors on the learning rate by parameter, 1 by default.
        no_decay: Parts of the names of further parameters without weight decay.

    Raises:
        UsageError: If the optimizer is unknown or cannot be created, or a part of `no_decay` is in no name.
    """
    scales = lr_scales or {}
    unused = set(no_decay)
    groups: dict[tuple[bool, float, bool, type], list[nn.Parameter]] = {}
    for module in modules:
        embeddings = _find_embeddings(module)
        for name_of, parameter in module.named_parameters():
            if not parameter.requires_grad:
                continue
            exempt = {part for part in no_decay if part in name_of}
            unused -= exempt
            # sharded parameters cannot share a group with others
            is_fallback = not is_adamw(name) and (parameter.ndim < 2 or parameter in embeddings)
            is_exempt = parameter.ndim < 2 or bool(exempt)
            key = (is_exempt, scales.get(parameter, 1.0), is_fallback, type(parameter.data))
            groups.setdefault(key, []).append(parameter)
    if unused:
        raise UsageError(f"no_decay: no trained parameter has {sorted(unused)[0]!r} in its name")
    described = [
        {"params": groups[key], "weight_decay": 0.0 if key[0] else weight_decay, "lr_scale": key[1]}
        | ({"use_fallback": True} if key[2] else {})
        for key in sorted(groups, key=lambda key: (key[0], -key[1], key[2], key[3].__name__))
    ]
    if is_adamw(name):
        return torch.optim.AdamW(described, lr=lr, betas=betas, eps=eps, fused=fused)
    try:
        return _make_named(str(name), described, lr=lr, betas=betas, eps=eps)
    except (ImportError, AssertionError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f'optimizer = "{name}": {error or type(error).__name__}. {_ADVICE}') from error


def is_adamw(name: str | None) -> bool:
    """Return whether the name selects AdamW, the default."""
    return name in (None, "adamw")


def find_optimizer_problems(name: str | None, sharding: str = "none") -> Iterator[str]:
    """Yield the reasons why an optimizer cannot be used: unknown, not installed, or no FSDP support."""
    if is_adamw(name):
        return
    if sharding != "none":
        yield (
            f'optimizer = "{name}" does not support sharding = "{sharding}". Use "adamw", or '
            'sharding = "none"'
        )
    module, separator, _ = str(name).partition(":")
    if not separator:
        yield from problems_of(lambda: make_optimizer([nn.Linear(2, 2)], name, lr=1e-3, weight_decay=0.0))
    elif not module or find_spec(module.partition(".")[0]) is None:  # imported only by the run
        yield f'optimizer = "{name}": module {module} not found. Install its package'


def _make_named(name: str, groups: list[dict[str, Any]], **keys: Any) -> torch.optim.Optimizer:
    if ":" in name:
        module, _, attribute = name.partition(":")
        return getattr(importlib.import_module(module), attribute)(groups, lr=keys["lr"])
    from timm.optim import create_optimizer_v2, get_optimizer_info, list_optimizers

    if name not in list_optimizers():
        raise ValueError("unknown")
    info = get_optimizer_info(name)
    if info.second_order:
        raise ValueError("it needs second derivatives, which training does not compute")
    if info.num_betas != 2:
        keys.pop("betas")
    return create_optimizer_v2(groups, name, **keys)


def _find_embeddings(module: nn.Module) -> set[nn.Parameter]:
    """Return token, position and patch embeddings, which are not maps between features."""
    layers = (m for m in module.modules() if isinstance(m, nn.Embedding | nn.Conv2d))
    named = (p for name, p in module.named_parameters() if "embed" in name.rpartition(".")[2])
    return {p for layer in layers for p in layer.parameters()} | set(named)


def layer_lr_scales(tower: nn.Module, decay: float) -> dict[nn.Parameter, float]:
    """Return learning-rate factors by parameter for layer-wise decay; empty for a decay of 1.

    Block k = 1, ..., n has the factor decay^(n + 1 - k). Layers before the blocks have decay^(n + 1), and
    layers after them, such as the projection, have 1. timm's parameter groups are not used, because they need
    a group_matcher, which open_clip's towers do not have.
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
        raise ValueError("layer_decay: the image tower has no numbered blocks. Set layer_decay to 1")
    num_blocks = max(numbers) + 1
    end = max(i for i, match in enumerate(blocks) if match)
    scales = {}
    for i, ((name, parameter), match) in enumerate(zip(named, blocks, strict=True)):
        # layers after the blocks, and open_clip's projection, which is defined before them
        is_head = i > end or name.endswith("proj")
        layer = int(match.group(1)) if match else (num_blocks if is_head else -1)
        scales[parameter] = decay ** (num_blocks - layer)
    return scales


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of every parameter group, multiplied by its `lr_scale`."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("lr_scale", 1.0)


def choose_precision(precision: Precision, device: str) -> Precision:
    """Return the precision for a device; "auto" is bf16 if the device multiplies it natively, else fp32."""
    if precision != "auto":
        return precision
    return "bf16" if has_native_bf16(torch.device(device).type) else "fp32"


@cache
def has_native_bf16(device: str) -> bool:
    """Return whether a type of device has instructions for products of bfloat16.

    On other processors, autocast to bf16 emulates them and is many times slower than float32.
    """
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device != "cpu" or not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    # oneDNN emulates bf16 on x86 processors with AVX-512 alone
    is_x86 = platform.machine().lower() in ("x86_64", "amd64")
    return not is_x86 or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def measure_bf16_slowdown() -> float:
    """Return how many times as long a layer takes on this processor in bf16 as in fp32, measured now."""
    from torch.utils.benchmark import Timer

    names = {"layer": nn.Linear(384, 384), "rows": torch.randn(256, 384)}
    timer = Timer("layer(rows).sum().backward()", globals=names, num_threads=torch.get_num_threads())
    seconds = {}
    for precision in ("fp32", "bf16"):
        with autocast("cpu", precision):
            seconds[precision] = timer.blocked_autorange(min_run_time=PROBE_SECONDS).mean
    return seconds["bf16"] / seconds["fp32"]


def autocast(device: str, precision: Precision) -> contextlib.AbstractContextManager[Any]:
    """Return a context for forward passes in a precision: autocast, or float32 with or without TF32."""
    precision = choose_precision(precision, device)
    if precision in ("fp32", "tf32"):
        return matmul_precision(precision)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float16
    return torch.autocast(torch.device(device).type, dtype=dtype)


@contextlib.contextmanager
def matmul_precision(precision: Precision) -> Iterator[None]:
    """Enable TF32 (10-bit mantissa) in float32 products and convolutions for "tf32", else disable it."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    is_tf32 = precision == "tf32"
    torch.set_float32_matmul_precision("high" if is_tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = is_tf32  # torch's default is True
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]
