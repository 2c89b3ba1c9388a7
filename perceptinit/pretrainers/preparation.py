"""Temporary changes to a model for a training stage, which an `ExitStack` reverts."""

# B batch over all ranks, b rows on this rank, L patches, D width
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from typing import Any, Literal

import torch
from torch import Tensor, nn

from perceptinit.backbones.fast_modules import PatchConv
from perceptinit.compute import distributed
from perceptinit.compute.devices import to_device
from perceptinit.errors import TrainingError
from perceptinit.pretrainers.sharding import blocks_of
from perceptinit.seeding import torch_generator
from perceptinit.types import RunContext

Lock = Literal["none", "image", "text", "patches"]

# names of the patch-dropout module in timm and open_clip
PATCH_MODULES = ("patch_drop", "patch_dropout")


def check_batch_norm(model: nn.Module, micro_batch: int, ctx: RunContext) -> None:
    """Raise an error for batch norm with micro-batches, and warn about it with several processes."""
    if not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules()):
        return
    if micro_batch:
        raise TrainingError(
            "micro_batch: batch norm would compute its statistics over a micro-batch. Set micro_batch to 0, "
            "or use grad_checkpointing"
        )
    if distributed.world_size() > 1:
        ctx.warn("batch norm computes its statistics over the samples of each process, not over the batch")


def lock_parameters(stack: ExitStack, model: Any, lock: Lock) -> None:
    """Freeze a tower (LiT, Zhai et al. 2022) or the image tower's patch embedding.

    Raises:
        TrainingError: If the image tower has no patch embedding.
    """
    locked: list[nn.Module] = []
    if lock == "patches":
        locked = [module for module in model.image.modules() if isinstance(module, PatchConv)]
        if not locked:
            raise TrainingError(
                'lock = "patches": the image tower has no patch embedding. Set lock to "none"'
            )
    elif lock != "none":
        locked = [getattr(model, lock)]
    for parameter in (p for module in locked for p in module.parameters()):
        stack.callback(parameter.requires_grad_, parameter.requires_grad)
        parameter.requires_grad_(False)


def compile_blocks(stack: ExitStack, towers: Iterable[nn.Module], backend: str) -> None:
    """Compile each transformer block with torch.compile.

    The rest of a tower runs eagerly, because texts are packed, and DDP and FSDP exchange gradients by block.
    """
    blocks: list[Any] = [block for tower in towers for block in blocks_of(tower)]
    for block in blocks:
        stack.callback(setattr, block, "_compiled_call_impl", None)
        block.compile(backend=backend)


def enable_grad_checkpointing(stack: ExitStack, towers: Mapping[str, nn.Module]) -> None:
    """Recompute each transformer block in the backward pass.

    Raises:
        TrainingError: If a tower has no `set_grad_checkpointing`.
    """
    for name, tower in towers.items():
        switch: Any = next(
            (m.set_grad_checkpointing for m in tower.modules() if hasattr(m, "set_grad_checkpointing")), None
        )
        if switch is None:
            raise TrainingError(
                f"grad_checkpointing: no module of the {name} tower supports it. "
                "Set grad_checkpointing to false"
            )
        stack.callback(switch, False)
        switch(True)


class PatchDropout(nn.Module):
    """Drop a share of the patches of each image in training.

    The choice depends only on the seed, the step and the row of the image in the batch. It is therefore the
    same in both passes over a micro-batch, and for any number of micro-batches and processes.

    Args:
        share: Share of the patches to drop, in [0, 1).
        num_prefix_tokens: Number of leading tokens to keep, such as a class token.

    Source: Li et al. 2023 (FLIP).
    """

    def __init__(self, share: float, num_prefix_tokens: int) -> None:
        super().__init__()
        self.share = share
        self.num_prefix_tokens = num_prefix_tokens
        self._names: tuple[Any, ...] = ()
        self._first_row = self._batch_size = 0
        self._drawn: tuple[Any, Tensor] | None = None

    def at(self, seed: int, stage: str, step: int, first_row: int, batch_size: int) -> None:
        """Set the seed, the step, and the position of the next input's first row in the global batch."""
        self._names = (seed, stage, "patches", step)
        self._first_row = first_row
        self._batch_size = batch_size

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the remaining tokens (b, prefix + kept, D) of (b, prefix + L, D), or all in eval mode."""
        if not self.training:
            return tokens
        prefix, patches = tokens.tensor_split([self.num_prefix_tokens], dim=1)
        num_kept = max(1, int(patches.shape[1] * (1 - self.share)))
        key = (self._names, self._batch_size, patches.shape[1])
        if self._drawn is None or self._drawn[0] != key:
            self._drawn = key, torch.rand(key[1:], generator=torch_generator(*self._names))
        noise = self._drawn[1][self._first_row : self._first_row + len(tokens)]
        kept = to_device(noise.argsort(dim=1)[:, :num_kept], tokens.device)
        index = kept[:, :, None].expand(-1, -1, patches.shape[2])
        return torch.cat([prefix, patches.gather(1, index)], dim=1)


def insert_patch_dropout(stack: ExitStack, model: Any, share: float) -> list[PatchDropout]:
    """Insert PatchDropout into the image tower and return the new modules.

    Raises:
        TrainingError: If no module of the tower can drop patches.
    """
    dropouts = []
    for module in model.image.modules():
        for name in PATCH_MODULES:
            old = getattr(module, name, None)
            if isinstance(old, nn.Module):
                stack.callback(setattr, module, name, old)
                # open_clip lacks the attribute and has one class token
                dropouts.append(PatchDropout(share, getattr(module, "num_prefix_tokens", 1)))
                setattr(module, name, dropouts[-1])
    if not dropouts:
        raise TrainingError(
            "patch_dropout: the image tower is not a vision transformer of timm or open_clip that can drop "
            "patches. Set patch_dropout to 0"
        )
    return dropouts
