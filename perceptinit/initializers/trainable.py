"""Which parameters a training stage changes, and leaving a model as it was found."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from torch import nn

from perceptinit.errors import InitializerError

Trainable = Literal["all", "qkv"]

# names of the projections to queries, keys and values: timm, torch (open_clip), transformers
QKV_NAMES = frozenset(
    ("qkv", "q_proj", "k_proj", "v_proj", "q_bias", "k_bias", "v_bias", "query", "key", "value")
) | {"in_proj_weight", "in_proj_bias", "q_proj_weight", "k_proj_weight", "v_proj_weight"}

# those of them that hold queries, keys and values in one tensor, in this order
FUSED_NAMES = frozenset({"qkv", "in_proj_weight", "in_proj_bias"})


def num_fused_parts(name: str) -> int:
    """Return 3 for a parameter that holds queries, keys and values, else 1."""
    return 3 if FUSED_NAMES & set(name.split(".")) else 1


def trainable_names(model: nn.Module, train: Trainable, last_blocks: int = 0) -> list[str]:
    """Return the parameters that `train` stands for, less those that the caller has frozen.

    last_blocks: of these many last blocks only, and of what the model defines after them; 0 is all.

    Raises InitializerError when the model has no attention to train, or fewer blocks.
    """
    names = [name for name, _ in model.named_parameters()]
    if last_blocks:
        names = names[_start_of_last(last_blocks, names, type(model).__name__) :]
    if train == "qkv":
        names = [name for name in names if QKV_NAMES & set(name.split("."))]
        if not names:
            raise InitializerError(
                f"train = 'qkv': no attention projection in {type(model).__name__} "
                f"(looked for {', '.join(sorted(QKV_NAMES))}); use train = 'all'"
            )
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    return [name for name in names if name not in frozen]


def block_of(name: str) -> str | None:
    """Return the numbered part of the model that a parameter is in, such as `trunk.blocks.3`, if any."""
    parts = name.split(".")
    numbered = (i for i, part in enumerate(parts) if re.fullmatch(r"(.*_)?\d+", part))
    first = next(numbered, None)
    return None if first is None else ".".join(parts[: first + 1])


def _start_of_last(count: int, names: list[str], model: str) -> int:
    """Return the place in `names` where the last `count` blocks start."""
    starts: dict[str, int] = {}
    for place, name in enumerate(names):
        block = block_of(name)
        if block is not None:
            starts.setdefault(block, place)
    if count > len(starts):
        raise InitializerError(
            f"last_blocks = {count}: {model} has {len(starts)} blocks (numbered parts, such as "
            f"{', '.join(list(starts)[:2]) or 'blocks.0'})"
        )
    return list(starts.values())[-count]


@contextmanager
def only_training(model: nn.Module, names: list[str]) -> Iterator[None]:
    """Let gradients flow to the named parameters alone, for the block.

    Afterwards requires_grad, gradients and each submodule's mode are as before.
    """
    flags = [(p, p.requires_grad, p.grad) for p in model.parameters()]
    modes = [(module, module.training) for module in model.modules()]
    chosen = set(names)
    try:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name in chosen)
            parameter.grad = None
        yield
    finally:
        for parameter, flag, gradient in flags:
            parameter.requires_grad_(flag)
            parameter.grad = gradient
        for module, mode in modes:
            module.training = mode
