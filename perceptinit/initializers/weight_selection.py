"""Weights picked from a larger pretrained model of the same family (`weight-selection`)."""

from __future__ import annotations

# S sizes of the tower's tensor, T of the teacher's
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from perceptinit.errors import CheckpointError, UsageError, problems_of
from perceptinit.files.checkpoints import load_weights
from perceptinit.initializers.imagenet import (
    check_source,
    load_trunk,
    read_weights,
    timm_architecture,
)
from perceptinit.initializers.trainable import num_fused_parts
from perceptinit.registry import nearest
from perceptinit.seeding import named_torch_seed
from perceptinit.types import InitReport, RunContext


class WeightSelection:
    """Fills the trunk with evenly spaced elements of a larger timm model's tensors; needs no training.

    Layers are the teacher's first ones; along every dimension of a tensor the elements taken are
    evenly spaced. Where image or patch size differ, timm first resamples the teacher's position and
    patch embeddings. The projection stays as it is.

    Source: Xu et al. 2024, Initializing Models with Larger Ones (uniform selection, first layers).
    Here queries, keys and values that share a tensor are picked from apart, which is the same where
    sizes divide and otherwise keeps them from mixing.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        teacher: str
        """Name in timm of the larger model, such as "vit_small_patch16_224"."""
        tag: str | None = None
        """Which of timm's weights of the teacher to download, such as "augreg_in1k"."""
        file: Path | None = None
        """Safetensors file of the teacher in timm's layout, instead of a download."""
        teacher_args: dict[str, Any] = field(default_factory=dict)
        """Arguments that the teacher of a file was made with, if not timm's own, such as depth."""

        def __post_init__(self) -> None:
            check_source(self.file, self.tag)

    def __init__(self, config: Config) -> None:
        self.config = config

    def preflight(self) -> Iterator[str]:
        """Yield that timm does not know the teacher, or what is wrong with a local file."""
        name = self.config.teacher
        if not timm.is_model(name):
            guess = nearest(name, timm.list_models())
            yield f"timm has no model '{name}'." + (f" Did you mean '{guess}'?" if guess else "")
        if self.config.file is not None:
            yield from problems_of(load_weights, self.config.file)

    def initialize(self, model: Any, ctx: RunContext) -> InitReport:
        """Load the selected weights; with a tag also mean and std of the images of the teacher.

        Raises InitializerError when the trunk is none of timm's, CheckpointError when the teacher
        lacks a tensor, is smaller, or is of another family.
        """
        c, trunk = self.config, model.trunk
        timm_architecture(trunk, "weight-selection")
        teacher = read_weights(c.file, c.tag, c.teacher, self._teacher_like(trunk))
        selected = select(teacher.weights, trunk.state_dict(), f"teacher '{c.teacher}'")
        return load_trunk("weight-selection", model, teacher, selected, ctx)

    def _teacher_like(self, trunk: Any) -> nn.Module:
        """Return the teacher, with weights that do not matter, for the trunk's image and patch size."""
        args = dict(self.config.teacher_args)
        embed: Any = getattr(trunk, "patch_embed", None)
        if getattr(trunk, "pos_embed", None) is not None and hasattr(embed, "patch_size"):
            args |= {"img_size": embed.img_size, "patch_size": embed.patch_size[0]}
        try:
            with named_torch_seed(0, "weight-selection"):
                return timm.create_model(self.config.teacher, num_classes=0, **args)
        except (TypeError, ValueError, AssertionError, RuntimeError) as error:
            raise UsageError(
                f"timm cannot build teacher '{self.config.teacher}' with {args}: {error}"
            ) from error


def select(teacher: Mapping[str, Tensor], student: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Return tensors of the student's names and shapes, picked from the teacher's.

    Raises CheckpointError naming the first tensor that the teacher lacks or has in a smaller size.
    """
    selected = {}
    for name, own in student.items():
        if name not in teacher:
            raise CheckpointError(
                f"{source} has no tensor {name}: it must be of the same family, and as deep"
            )
        large = teacher[name]
        if large.ndim != own.ndim or any(t < s for t, s in zip(large.shape, own.shape, strict=True)):
            raise CheckpointError(
                f"{source}: {name} is {tuple(large.shape)}, the tower's is {tuple(own.shape)}; "
                "the teacher must be at least as large in every dimension"
            )
        num_parts = num_fused_parts(name)
        shape = (len(own) // num_parts, *own.shape[1:]) if own.ndim else ()
        parts = large.chunk(num_parts) if own.ndim else (large,)
        picked = [select_evenly(part, shape) for part in parts]
        selected[name] = torch.cat(picked) if own.ndim else picked[0]
    return selected


def select_evenly(weight: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return the elements at `even_indices` along every dimension, a tensor of that shape."""
    for dimension, size in enumerate(shape):
        indices = even_indices(weight.shape[dimension], size)
        weight = weight.index_select(dimension, indices)
    return weight.clone()


def even_indices(large: int, small: int) -> Tensor:
    """Return `small` indices into `large`, int64: every k-th if k = large / small is whole, else rounded.

    The rounded ones are spread from the first to the last. (The published code counts to `large`,
    which is one past the last.)
    """
    if large % small == 0:
        return torch.arange(small) * (large // small)
    return torch.linspace(0, large - 1, small).round().long()
