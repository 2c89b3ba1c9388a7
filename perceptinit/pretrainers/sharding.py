"""Sharding of parameters, gradients and optimizer state (FSDP2), and the average of weights."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from perceptinit.compute.optim import BLOCK_LISTS, Precision

# parts of a model with a separate forward pass; the loss uses other parts, such as a classifier
TOWERS = ("image", "text")


def copy_sharded(model: Any, precision: Precision = "fp32", towers: Sequence[str] = TOWERS) -> Any:
    """Return a copy of a model whose towers are sharded over the processes, block by block.

    The copy is trained. The model stays unsharded for evaluation, saving and later stages, and takes 4 bytes
    per parameter in each process; training without sharding takes 16.

    Args:
        model: Model of a run.
        precision: With "bf16", weights are gathered and used in bfloat16, and gradients are reduced in
            float32.
        towers: Names of the towers to shard.
    """
    trained = copy.deepcopy(model).to(memory_format=torch.contiguous_format)  # FSDP2 requires it
    policy = MixedPrecisionPolicy()
    if precision == "bf16":
        policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    for tower in (getattr(trained, name) for name in towers):
        for block in blocks_of(tower):
            fully_shard(block, mp_policy=policy)
        fully_shard(tower, mp_policy=policy)
    return trained


def blocks_of(tower: nn.Module) -> list[nn.Module]:
    """Return the transformer blocks or stages of a tower, empty if their names are unknown."""
    return [
        block
        for name, module in tower.named_modules()
        if name.rpartition(".")[2] in BLOCK_LISTS
        for block in module.children()
        if any(True for _ in block.parameters())
    ]


@torch.no_grad()
def copy_whole(trained: nn.Module, model: nn.Module) -> None:
    """Copy sharded weights into the unsharded model, on every rank."""
    for source, target in zip(trained.parameters(), model.parameters(), strict=True):
        target.copy_(gather_whole(source))
    for buffer, own in zip(trained.buffers(), model.buffers(), strict=True):
        own.copy_(buffer)


def gather_whole(value: Any) -> Any:
    """Return a sharded tensor unsharded, and other values unchanged. All processes must call it."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def shard_like(tensor: Tensor, pattern: Tensor) -> Tensor:
    """Return an unsharded tensor sharded like `pattern`."""
    if not isinstance(pattern, DTensor):
        return tensor
    return distribute_tensor(tensor.to(pattern.device), pattern.device_mesh, list(pattern.placements))


def gather_optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return the state_dict of an optimizer with unsharded tensors. All processes must call it."""
    state = optimizer.state_dict()
    rows = {i: {k: gather_whole(v) for k, v in row.items()} for i, row in state["state"].items()}
    return {**state, "state": rows}


def load_optimizer_state(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Load a state from `gather_optimizer_state`, sharded like the parameters."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    rows = {
        i: {k: shard_like(v, parameters[i]) if k != "step" else v for k, v in row.items()}
        for i, row in state["state"].items()
    }
    optimizer.load_state_dict({**state, "state": rows})


@torch.no_grad()
def clip_gradients(parameters: Iterable[nn.Parameter], clip_norm: float) -> Tensor:
    """Clip the norm of all gradients in place, and return the norm before clipping, 0-d.

    Args:
        parameters: Parameters; those without a gradient are ignored.
        clip_norm: Maximum norm over all gradients; 0 disables clipping.
    """
    parts = _split_by_kind([p.grad for p in parameters if p.grad is not None])
    norms = [gather_whole(torch.nn.utils.get_total_norm(part)) for part in parts]
    norm = torch.stack(norms).norm()
    if clip_norm:
        factor = (clip_norm / (norm + 1e-6)).clamp(max=1.0)
        for part in parts:
            torch._foreach_mul_(part, factor)
    return norm


def _split_by_kind(tensors: Sequence[Tensor]) -> list[list[Tensor]]:
    """Return sharded and other tensors separately, because foreach kernels do not mix them."""
    parts = [[t for t in tensors if isinstance(t, DTensor) == is_sharded] for is_sharded in (True, False)]
    return [part for part in parts if part]


class WeightAverage:
    """Exponential moving average: decay * average + (1 - decay) * weights after each step.

    It starts at the current weights and takes 4 bytes per parameter.

    Args:
        parameters: Parameters to average.
        decay: Decay per step, in (0, 1).

    Source: Polyak and Juditsky 1992; with a decay, Tarvainen and Valpola 2017.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], decay: float) -> None:
        self._parameters = list[Tensor](parameters)
        self._weight = 1 - decay
        self._average = [p.detach().clone() for p in self._parameters]

    @torch.no_grad()
    def update(self) -> None:
        """Update the average with the weights of this step."""
        kinds = _split_by_kind(self._average), _split_by_kind(self._parameters)
        for averages, weights in zip(*kinds, strict=True):
            torch._foreach_lerp_(averages, weights, self._weight)

    @torch.no_grad()
    def swap(self) -> None:
        """Swap average and weights. A second call restores them."""
        for average, parameter in zip(self._average, self._parameters, strict=True):
            kept = parameter.clone()
            parameter.copy_(average)
            average.copy_(kept)

    def state(self) -> list[Tensor]:
        """Return the averages, unsharded."""
        return [gather_whole(average) for average in self._average]

    def load(self, state: Sequence[Any]) -> None:
        """Resume from `state`."""
        for average, saved in zip(self._average, state, strict=True):
            average.copy_(shard_like(saved, average))
