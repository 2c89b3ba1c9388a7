"""Pretraining on a teacher's embeddings, without labels or captions (`distil`)."""

from __future__ import annotations

# B batch over all ranks, b rows on this rank, D embedding of the student, T of the teacher
import copy
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from perceptinit.backbones.encoders import ImageTower
from perceptinit.configs import NonNegativeFloat, NonNegativeInt, PositiveFloat
from perceptinit.errors import CheckpointError, problems_of
from perceptinit.files.checkpoints import load_strict, load_weights
from perceptinit.pairs.batches import PairBatch
from perceptinit.pretrainers.objective import Objective
from perceptinit.pretrainers.pretraining import Pretraining
from perceptinit.pretrainers.training_config import TrainingConfig

TeacherName = Literal["run", "timm", "open-clip", "random"]
IMAGE = "image."  # prefix in the final weights of a run
PROBE_SIZE = 2  # images in the call that determines the teacher's embedding size


class DistilPretraining(Pretraining):
    """Train the image tower to match the embeddings of a frozen teacher, or their similarities in a batch.

    Texts of the pairs are ignored. With "features", a linear layer maps the student's embeddings to the
    teacher's and is discarded afterwards. The teacher has the weights of a run with the same backbone, or is
    a published timm or open_clip model. Control: `teacher = "random"`, the same architecture with random
    weights.

    Source: Hinton et al. 2015 (distillation); Park et al. 2019, arXiv 1904.05068 (similarities).
    """

    parts = ("image",)

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(TrainingConfig):
        teacher: TeacherName = "random"
        """"run": the student's architecture with the weights in `file`. "timm", "open-clip": a published
        `model`. "random": control, the student's architecture initialized with `teacher_seed`."""
        file: Path | None = None
        """Safetensors file of a run, such as `weights/final.safetensors`, for "run"."""
        model: str = ""
        """Model to download: "NAME.TAG" for timm, "NAME:TAG" for open_clip."""
        teacher_seed: NonNegativeInt = 0
        """Seed of the "random" teacher, which is the same in all runs."""
        match: Literal["features", "similarities"] = "features"
        """"features": the cosine similarity of student and teacher. "similarities": the cosine similarities
        between the images of a batch."""
        temperature: PositiveFloat = 0.1
        """Temperature of the softmax over the similarities between images; ignored by "features"."""
        lr: PositiveFloat = 1e-3
        """Peak learning rate, at the end of the warm-up."""
        warmup_steps: NonNegativeInt = 0
        """Steps of linear warm-up, fewer than the total."""
        weight_decay: NonNegativeFloat = 0.05
        """Weight decay of matrices and kernels."""

        def __post_init__(self) -> None:
            TrainingConfig.__post_init__(self)
            if (self.file is not None) != (self.teacher == "run"):
                raise ValueError('set file if and only if teacher = "run"')
            if bool(self.model) != (self.teacher in ("timm", "open-clip")):
                raise ValueError('set model if and only if teacher is "timm" or "open-clip"')
            sign = {"timm": ".", "open-clip": ":"}.get(self.teacher, "")
            if sign not in self.model:  # without a tag, open_clip returns random weights
                raise ValueError(f"model = '{self.model}' lacks the tag of its weights: NAME{sign}TAG")

        def smoke(self) -> Self:
            """Return a copy with a random teacher, which needs no file."""
            return replace(TrainingConfig.smoke(self), teacher="random", file=None, model="")

    config: Config

    def preflight(self) -> Iterator[str]:
        """Yield problems with the teacher's file, and those common to all pretrainers."""
        if self.config.file is not None:
            yield from problems_of(load_weights, self.config.file)
        yield from super().preflight()

    def make_objective(self, model: Any) -> Matching:
        """Return the loss, which contains the frozen teacher.

        Raises:
            CheckpointError: If the teacher's weights do not fit.
        """
        teacher = make_teacher(self.config, model.image)
        return Matching(teacher, model.embed_dim, self.config.match, self.config.temperature)


def make_teacher(config: DistilPretraining.Config, student: Any) -> ImageTower:
    """Return the teacher, an image tower with its own input size and normalization; may download weights."""
    if config.teacher == "timm":
        return _read_timm(config.model)
    if config.teacher == "open-clip":
        return _read_open_clip(config.model)
    teacher = copy.deepcopy(student)
    if config.file is None:
        teacher.reset_parameters(config.teacher_seed)
    else:
        load_strict(teacher, _image_weights(load_weights(config.file)), str(config.file))
    return teacher


def _image_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of the image tower from a file that may contain other parts."""
    own = {n.removeprefix(IMAGE): w for n, w in weights.items() if n.startswith(IMAGE)}
    return own or dict(weights)


def _read_timm(name: str) -> ImageTower:
    import timm

    try:
        trunk: Any = timm.create_model(name, pretrained=True, num_classes=0)
    except (RuntimeError, ValueError, OSError) as error:
        raise CheckpointError(f"teacher timm {name}: {error}") from error
    about = trunk.pretrained_cfg
    return _as_tower(trunk, int(about["input_size"][-1]), about["mean"], about["std"])


def _read_open_clip(name: str) -> ImageTower:
    import open_clip

    model, _, tag = name.partition(":")
    try:
        made: Any = open_clip.create_model(model, pretrained=tag or None)
    except (RuntimeError, ValueError, OSError) as error:
        raise CheckpointError(f"teacher open-clip {name}: {error}") from error
    size = made.visual.image_size
    side = int(size[0] if isinstance(size, tuple | list) else size)
    return _as_tower(made.visual, side, made.visual.image_mean, made.visual.image_std)


def _as_tower(trunk: nn.Module, size: int, mean: Any, std: Any) -> ImageTower:
    def no_copy() -> ImageTower:
        raise CheckpointError("a teacher with published weights cannot be reinitialized")

    return ImageTower(trunk, nn.Identity(), image_size=size, embed_dim=0, mean=mean, std=std, fresh=no_copy)


class Matching(Objective):
    """Distance between the embeddings of the student and a frozen teacher.

    Args:
        teacher: Image tower, which is neither trained nor part of the state.
        embed_dim: Length D of the student's embeddings.
        match: "features" or "similarities".
        temperature: Temperature of the softmax over similarities.
    """

    def __init__(
        self,
        teacher: ImageTower,
        embed_dim: int,
        match: Literal["features", "similarities"],
        temperature: float,
    ) -> None:
        super().__init__()
        self._match = match
        self._temperature = temperature
        teacher.eval().requires_grad_(False)
        self._teacher = [teacher]  # in a list, so that it is not a submodule
        device = next((p.device for p in teacher.parameters()), torch.device("cpu"))
        probe = torch.zeros(PROBE_SIZE, 3, teacher.image_size, teacher.image_size, device=device)
        with torch.no_grad():
            dim = teacher(probe).shape[1]
        self.project = nn.Linear(embed_dim, dim, bias=False) if match == "features" else nn.Identity()

    @torch.no_grad()
    def rows(self, batch: PairBatch, seed: int) -> dict[str, Tensor]:
        """Return the images (b, 3, H, W) and the teacher's unit embeddings of them (b, T)."""
        teacher = self._teacher[0].to(batch.images.device)
        images = batch.images
        size = teacher.image_size
        if images.shape[-1] != size:
            images = images.float() / 255 if images.dtype == torch.uint8 else images
            images = F.interpolate(images, size=(size, size), mode="bicubic", antialias=True).clamp(0, 1)
        return {"image": batch.images, "target": F.normalize(teacher(images).float(), dim=1)}

    def loss(self, model: Any, **rows: Tensor) -> Tensor:
        """Return the mean loss of the batch: one minus the cosine, or the cross-entropy of similarities."""
        found = F.normalize(self.project(rows["image"]), dim=1)
        target = rows["target"]
        if self._match == "features":
            return 1 - (found * target).sum(dim=1).mean()
        itself = torch.eye(len(found), dtype=torch.bool, device=found.device)
        own = (found @ found.T / self._temperature).masked_fill(itself, -math.inf)
        wanted = (target @ target.T / self._temperature).masked_fill(itself, -math.inf)
        log_own = own.log_softmax(dim=1).masked_fill(itself, 0.0)
        return -(wanted.softmax(dim=1) * log_own).sum(dim=1).mean()
