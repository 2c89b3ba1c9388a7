"""Parameters, gradients and optimiser state in pieces, one for each process (FSDP2), and their average."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from perceptinit.compute.optim import BLOCK_LISTS, Precision

# what of a model has a pass of its own; the rest, such as a temperature or a classifier, belongs to the loss
TOWERS = ("image", "text")


def copy_sharded(model: Any, precision: Precision = "fp32", towers: Sequence[str] = TOWERS) -> Any:
    """Return a copy of a model whose towers are sharded over the processes, block by block.

    The copy is trained, while the model itself stays whole for evaluation, saving and what comes
    after the stage: 4 bytes a parameter in each process, of the 16 that plain training takes. With
    "bf16" weights travel and compute in bfloat16, gradients are added up in float32.
    """
    trained = copy.deepcopy(model)
    policy = MixedPrecisionPolicy()
    if precision == "bf16":
        policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    for tower in (getattr(trained, name) for name in towers):
        for block in blocks_of(tower):
            fully_shard(block, mp_policy=policy)
        fully_shard(tower, mp_policy=policy)
    return trained


def blocks_of(tower: nn.Module) -> list[nn.Module]:
    """Return the transformer blocks or stages of a tower; none where they have other names."""
    return [
        block
        for name, module in tower.named_modules()
        if name.rpartition(".")[2] in BLOCK_LISTS
        for block in module.children()
        if any(True for _ in block.parameters())
    ]


@torch.no_grad()
def copy_whole(trained: nn.Module, model: nn.Module) -> None:
    """Copy the sharded weights into the whole model, in every process."""
    for source, target in zip(trained.parameters(), model.parameters(), strict=True):
        target.copy_(gather_whole(source))
    for buffer, own in zip(trained.buffers(), model.buffers(), strict=True):
        own.copy_(buffer)


def gather_whole(value: Any) -> Any:
    """Return a tensor with all its pieces, and other values unchanged; every process calls it."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def cut_like(tensor: Tensor, pattern: Tensor) -> Tensor:
    """Return a whole tensor cut as `pattern` is."""
    if not isinstance(pattern, DTensor):
        return tensor
    return distribute_tensor(tensor.to(pattern.device), pattern.device_mesh, list(pattern.placements))


def gather_optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return the optimiser's state_dict with whole tensors."""
    state = optimizer.state_dict()
    rows = {i: {k: gather_whole(v) for k, v in row.items()} for i, row in state["state"].items()}
    return {**state, "state": rows}


def load_optimizer_state(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Load what `gather_optimizer_state` gave, cut as the parameters are."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    rows = {
        i: {k: cut_like(v, parameters[i]) if k != "step" else v for k, v in row.items()}
        for i, row in state["state"].items()
    }
    optimizer.load_state_dict({**state, "state": rows})


@torch.no_grad()
def clip_gradients(parameters: Iterable[nn.Parameter], clip_norm: float) -> Tensor:
    """Return the norm over all gradients, 0-d, after scaling them down to clip_norm unless it is 0."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    cut = [g for g in gradients if isinstance(g, DTensor)]
    rest = [g for g in gradients if not isinstance(g, DTensor)]
    norms = [gather_whole(torch.nn.utils.get_total_norm(part)) for part in (cut, rest) if part]
    norm = torch.stack(norms).norm()
    if clip_norm:
        factor = (clip_norm / (norm + 1e-6)).clamp(max=1.0)
        for part in (list[Tensor](cut), rest):  # a kernel takes one sort of tensor
            if part:
                torch._foreach_mul_(part, factor)
    return norm


class WeightAverage:
    """Keeps `average = decay * average + (1 - decay) * weights` after each step, from the first weights on.

    Costs 4 bytes a parameter. Source: Polyak and Juditsky 1992; with decay as in Tarvainen and
    Valpola 2017.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], decay: float) -> None:
        self._parameters = list[Tensor](parameters)
        self._weight = 1 - decay
        self._average = [p.detach().clone() for p in self._parameters]

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights of this step into the average."""
        pairs = list(zip(self._average, self._parameters, strict=True))
        for is_cut in (True, False):  # a kernel takes one sort of tensor
            part = [pair for pair in pairs if isinstance(pair[0], DTensor) == is_cut]
            if part:
                averages, weights = ([pair[i] for pair in part] for i in (0, 1))
                torch._foreach_lerp_(averages, weights, self._weight)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange average and weights; a second time, all is as before."""
        for average, parameter in zip(self._average, self._parameters, strict=True):
            kept = parameter.clone()
            parameter.copy_(average)
            average.copy_(kept)

    def state(self) -> list[Tensor]:
        """Return the averages, whole."""
        return [gather_whole(average) for average in self._average]

    def load(self, state: Sequence[Any]) -> None:
        """Continue from `state`."""
        for average, saved in zip(self._average, state, strict=True):
            average.copy_(cut_like(saved, average))
