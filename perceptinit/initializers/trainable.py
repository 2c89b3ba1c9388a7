"""Selection of the parameters that a training stage updates."""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Literal

from torch import nn

from perceptinit.errors import InitializerError

Trainable = Literal["all", "qkv"]

# query, key and value projections of timm, torch (open_clip) and transformers
QKV_NAMES = frozenset(
    ("qkv", "q_proj", "k_proj", "v_proj", "q_bias", "k_bias", "v_bias", "query", "key", "value")
) | {"in_proj_weight", "in_proj_bias", "q_proj_weight", "k_proj_weight", "v_proj_weight"}

# queries, keys and values in one tensor, in this order
FUSED_NAMES = frozenset({"qkv", "in_proj_weight", "in_proj_bias"})


def num_fused_parts(name: str) -> int:
    """Return 3 for a parameter that contains queries, keys and values, else 1."""
    return 3 if FUSED_NAMES & set(name.split(".")) else 1


def trainable_names(model: nn.Module, train: Trainable, last_blocks: int = 0) -> list[str]:
    """Return the names of the parameters to train, without frozen ones.

    Args:
        model: Image tower.
        train: "all" parameters, or "qkv" projections only.
        last_blocks: Number of last blocks to train, with all later parameters; 0 for the whole model.

    Raises:
        InitializerError: If the model has no attention projections, or too few blocks.
    """
    names = [name for name, _ in model.named_parameters()]
    if last_blocks:
        names = names[_start_of_last(last_blocks, names, type(model).__name__) :]
    if train == "qkv":
        names = [name for name in names if QKV_NAMES & set(name.split("."))]
        if not names:
            raise InitializerError(
                f"train = 'qkv': {type(model).__name__} has no attention projection named "
                f"{', '.join(sorted(QKV_NAMES))}. Use train = 'all'"
            )
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    return [name for name in names if name not in frozen]


def block_of(name: str) -> str | None:
    """Return the numbered block of a parameter, such as `trunk.blocks.3`, or None."""
    match = re.match(r"([^.]+\.)*?([^.]*_)?\d+(?=\.|$)", name)
    return match and match[0]


def _start_of_last(count: int, names: list[str], model: str) -> int:
    """Return the index in `names` at which the last `count` blocks start."""
    starts: dict[str, int] = {}
    for index, name in enumerate(names):
        block = block_of(name)
        if block is not None:
            starts.setdefault(block, index)
    if count > len(starts):
        raise InitializerError(
            f"last_blocks = {count}: {model} has {len(starts)} numbered blocks, such as "
            f"{', '.join(list(starts)[:2]) or 'blocks.0'}. Lower last_blocks"
        )
    return list(starts.values())[-count]


@contextmanager
def only_training(model: nn.Module, names: list[str]) -> Iterator[None]:
    """Require gradients only for the named parameters, for the duration of the block.

    On exit the `requires_grad` flags, gradients and training modes are restored.

    Args:
        model: Module to change in place.
        names: Names of `model.named_parameters()`.
    """
    with ExitStack() as stack:
        for module in model.modules():
            stack.callback(setattr, module, "training", module.training)
        for name, parameter in model.named_parameters():
            stack.callback(setattr, parameter, "grad", parameter.grad)
            stack.callback(parameter.requires_grad_, parameter.requires_grad)
            parameter.requires_grad_(name in names)
            parameter.grad = None
        yield
