"""What a training stage changes about a model for its duration: frozen towers, recomputation, patches."""

from __future__ import annotations

# B batch of all processes, b rows at hand, L patches, D width
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
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

# what timm and open_clip call the module that may drop patches
PATCH_MODULES = ("patch_drop", "patch_dropout")


def check_batch_norm(model: nn.Module, micro_batch: int, ctx: RunContext) -> None:
    """Say that batch norm sees less than the whole batch, and refuse it where it would see that twice."""
    if not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules()):
        return
    if micro_batch:
        raise TrainingError(
            "micro_batch: the model has batch norm, whose statistics would be those of a "
            "micro-batch; leave the key at 0, or use grad_checkpointing"
        )
    if distributed.world_size() > 1:
        ctx.warn("batch norm takes its statistics from the pairs of each process, not of the batch")


@contextmanager
def lock_parameters(model: Any, lock: Lock) -> Iterator[None]:
    """Freeze a tower (LiT, Zhai et al. 2022) or its patch embedding for the block."""
    parameters = list(_find_locked(model, lock))
    flags = [p.requires_grad for p in parameters]
    try:
        for parameter in parameters:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter, flag in zip(parameters, flags, strict=True):
            parameter.requires_grad_(flag)


def _find_locked(model: Any, lock: Lock) -> Iterator[nn.Parameter]:
    if lock == "patches":
        patches = [module for module in model.image.modules() if isinstance(module, PatchConv)]
        if not patches:
            raise TrainingError(
                'lock = "patches": no layer of the image tower embeds patches; leave the key at "none"'
            )
        yield from (p for module in patches for p in module.parameters())
    elif lock != "none":
        yield from getattr(model, lock).parameters()


@contextmanager
def compile_blocks(towers: Iterable[nn.Module], backend: str) -> Iterator[None]:
    """Have torch.compile make kernels of each transformer block of the towers, for the block; "" leaves them.

    What is around them stays as it is: texts are packed, and DDP and FSDP exchange gradients block by block.
    """
    blocks: list[Any] = [block for tower in towers if backend for block in blocks_of(tower)]
    try:
        for block in blocks:
            block.compile(backend=backend)
        yield
    finally:
        for block in blocks:
            block._compiled_call_impl = None


@contextmanager
def grad_checkpointing(towers: Mapping[str, nn.Module], wanted: bool) -> Iterator[None]:
    """Have each transformer block computed again in the backward pass, for the block.

    Raises TrainingError when a tower offers no `set_grad_checkpointing`.
    """
    switches = [_checkpointing_switch(*item) for item in towers.items()] if wanted else []
    try:
        for switch in switches:
            switch(True)
        yield
    finally:
        for switch in switches:
            switch(False)


def _checkpointing_switch(name: str, tower: nn.Module) -> Any:
    for module in tower.modules():
        if hasattr(module, "set_grad_checkpointing"):
            return module.set_grad_checkpointing
    raise TrainingError(
        f"grad_checkpointing: no module of the {name} tower can do it; leave the key at false"
    )


class PatchDropout(nn.Module):
    """Drops a share of the patches of each image, chosen by the image's place in the batch.

    The choice depends on the seed, the step and that place alone, so it is the same in the second
    pass over a micro-batch, and for any number of micro-batches and processes.
    Source: Li et al. 2023 (FLIP).
    """

    def __init__(self, share: float, num_prefix_tokens: int) -> None:
        super().__init__()
        self.share, self.num_prefix_tokens = share, num_prefix_tokens
        self._names: tuple[Any, ...] = ()
        self._first_row = self._batch_size = 0
        self._drawn: tuple[Any, Tensor] | None = None

    def at(self, seed: int, stage: str, step: int, first_row: int, batch_size: int) -> None:
        """Say which rows of the batch (B = batch_size) come next: those from `first_row` on."""
        self._names = (seed, stage, "patches", step)
        self._first_row, self._batch_size = first_row, batch_size

    def forward(self, tokens: Tensor) -> Tensor:
        """Return tokens (b, prefix + kept, D) of (b, prefix + L, D) in training, else all of them."""
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


@contextmanager
def patch_dropout(model: Any, share: float) -> Iterator[list[PatchDropout]]:
    """Put PatchDropout into the image tower for the block; gives the modules, none for a share of 0.

    Raises TrainingError when the tower has no place for it.
    """
    places = [
        (module, name)
        for module in (model.image.modules() if share else ())
        for name in PATCH_MODULES
        if isinstance(getattr(module, name, None), nn.Module)
    ]
    if share and not places:
        raise TrainingError(
            "patch_dropout: the image tower is no vision transformer of timm or open_clip that can "
            "drop patches; leave the key at 0"
        )
    before = [getattr(module, name) for module, name in places]
    # without the attribute, open_clip: one class token
    prefixes = [getattr(module, "num_prefix_tokens", 1) for module, _ in places]
    dropouts = [PatchDropout(share, num_prefix_tokens) for num_prefix_tokens in prefixes]
    try:
        for (module, name), dropout in zip(places, dropouts, strict=True):
            setattr(module, name, dropout)
        yield dropouts
    finally:
        for (module, name), old in zip(places, before, strict=True):
            setattr(module, name, old)
