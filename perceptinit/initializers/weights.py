"""The weights that an initializer changes: which of them a stage trains, and reports of the changes.

with reporting("my-init", model) as report:
    ...                                  # change the model in place
    report.metrics["2afc_val_after"] = 0.81
return report.result
"""

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from perceptinit.errors import InitializerError
from perceptinit.files.checkpoints import weights_sha256
from perceptinit.grouping import group
from perceptinit.types import InitReport

Trainable = Literal["all", "qkv"]

# query, key and value projections of timm, torch (open_clip) and transformers
QKV_NAMES = frozenset(
    ("qkv", "q_proj", "k_proj", "v_proj", "q_bias", "k_bias", "v_bias", "query", "key", "value")
) | {"in_proj_weight", "in_proj_bias", "q_proj_weight", "k_proj_weight", "v_proj_weight"}

# queries, keys and values in one tensor, in this order
FUSED_NAMES = frozenset({"qkv", "in_proj_weight", "in_proj_bias"})

FROZEN_OR_UNUSED = "Is the model frozen, or does 'encode' not use it?"


class Reporter:
    """Comparison of a model's weights before and after an initializer; see `reporting`.

    Attributes:
        metrics: Numbers by name, set by the caller.
        before: Weights and buffers by name before the block, on the CPU.
        may_be_unchanged: Whether no change is a valid result; by default it is an error.
        result: The report, set at the end of the block.
    """

    result: InitReport

    def __init__(self, name: str, model: nn.Module) -> None:
        self.name = name
        self.metrics: dict[str, float] = {}
        self.before = copy_weights(model)
        self.may_be_unchanged = False
        self._model = model
        self._start = time.perf_counter()

    def state(self) -> dict[str, Any]:
        """Return the state for `resume`: tensors and plain values."""
        return {"before": self.before, "seconds": time.perf_counter() - self._start}

    def resume(self, state: Mapping[str, Any]) -> None:
        """Resume from a state that `state` returned."""
        self.before = dict(state["before"])
        self._start = time.perf_counter() - state["seconds"]

    def finish(self, hint: str) -> None:
        """Set `result`.

        Raises:
            InitializerError: If no parameter changed, or a value is not finite.
        """
        after = copy_weights(self._model)
        broken = [k for k, v in after.items() if v.is_floating_point() and not v.isfinite().all()]
        if broken:
            raise InitializerError(
                f"initializer '{self.name}' left {len(broken)} non-finite tensors, such as {broken[0]}"
            )
        before = self.before
        changed = tuple(k for k, v in after.items() if k not in before or not torch.equal(v, before[k]))
        # buffers, such as running means, do not count
        is_changed = any(name in changed for name, _ in self._model.named_parameters())
        if not is_changed and not self.may_be_unchanged:
            raise no_change_error(self.name, self._model, hint)
        self.result = InitReport(
            name=self.name,
            changed=changed,
            sha256_before=weights_sha256(self.before),
            sha256_after=weights_sha256(after),
            metrics=self.metrics,
            seconds=time.perf_counter() - self._start,
        )


@contextmanager
def reporting(name: str, model: nn.Module, hint: str = FROZEN_OR_UNUSED) -> Iterator[Reporter]:
    """Report the changes that the block makes to the weights of `model`.

    Args:
        name: Name of the initializer, for the report and for errors.
        model: Image tower that the block changes in place.
        hint: End of the error message if nothing changed.

    Yields:
        The reporter. Fill its `metrics` in the block, and read its `result` after it.

    Raises:
        InitializerError: At the end of the block, if no parameter changed or a value is not finite.
    """
    reporter = Reporter(name, model)
    yield reporter
    reporter.finish(hint)


def copy_weights(model: nn.Module) -> dict[str, Tensor]:
    """Return copies of all parameters and buffers by name, on the CPU."""
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in model.state_dict().items()}


def no_change_error(name: str, model: nn.Module, hint: str = FROZEN_OR_UNUSED) -> InitializerError:
    """Return the error of an initializer without effect."""
    count = sum(1 for _ in model.parameters())
    return InitializerError(f"initializer '{name}' changed 0 of {count} parameters. {hint}")


def weight_changes(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> dict[str, float]:
    """Return `weight_change/BLOCK`, `norm_ratio/BLOCK` and `spectrum_change/BLOCK` of each block.

    Norms are Frobenius norms over the matrices and kernels of a block that changed; other blocks are omitted.
    `weight_change` is the norm of the difference, `norm_ratio` the norm after, and `spectrum_change` the norm
    of the difference of the sorted singular values, each divided by the norm before. `spectrum_change` is at
    most `weight_change`, and 0 for a rotation.

    Args:
        before: Weights by name; the computation runs on their device.
        after: Weights with the same names.

    Returns:
        Non-negative numbers by name.
    """
    after = {name: after[name].detach().to(weight.device) for name, weight in before.items()}
    matrices = [name for name, w in before.items() if w.is_floating_point() and w.ndim >= 2]
    changed = [name for name in matrices if not torch.equal(before[name], after[name])]
    blocks = group((block_of(name) or name.rpartition(".")[0] or name, name) for name in changed)
    numbers: dict[str, float] = {}
    for block, names in blocks.items():
        pairs = [(before[name].double(), after[name].double()) for name in names]
        norm = _norm([old for old, _ in pairs])
        if norm:
            spectra = [singular_values(new) - singular_values(old) for old, new in pairs]
            numbers[f"weight_change/{block}"] = _norm([new - old for old, new in pairs]) / norm
            numbers[f"norm_ratio/{block}"] = _norm([new for _, new in pairs]) / norm
            numbers[f"spectrum_change/{block}"] = _norm(spectra) / norm
    return numbers


def singular_values(weight: Tensor) -> Tensor:
    """Return the singular values of a weight, reshaped by `as_matrix`, in descending order."""
    return torch.linalg.svdvals(as_matrix(weight))


def as_matrix(weight: Tensor) -> Tensor:
    """Return a weight with two or more dimensions as a matrix.

    A kernel (out, in, h, w) becomes (out, in * h * w). Position embeddings (1, tokens, width) become
    (tokens, width).
    """
    while weight.ndim > 2 and weight.shape[0] == 1:
        weight = weight[0]
    return weight.flatten(1)


def _norm(tensors: list[Tensor]) -> float:
    return float(sum(float(t.square().sum()) for t in tensors)) ** 0.5


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
