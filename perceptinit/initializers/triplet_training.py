"""The training loop of stage 1: one optimiser step per batch of judgments."""

from __future__ import annotations

# N judgments, B of a batch, U distinct images of a batch, S height and width
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from perceptinit.compute import distributed
from perceptinit.compute.devices import to_device
from perceptinit.compute.optim import adamw, autocast, matmul_precision, set_lr, warmup_cosine
from perceptinit.errors import CheckpointError, TrainingError
from perceptinit.initializers.objectives import Objective
from perceptinit.initializers.report import nothing_changed
from perceptinit.initializers.stage_images import ResidentImages, ahead
from perceptinit.initializers.training_config import TrainingConfig
from perceptinit.judgments.two_afc import ImageArray, TwoAFCResult
from perceptinit.pairs.augment import random_box
from perceptinit.seeding import named_torch_seed
from perceptinit.types import RunContext

REPORT_EVERY_STEPS = 10
PROPORTIONS = (3 / 4, 4 / 3)  # of a box, width / height, as in torchvision's RandomResizedCrop


@dataclass(frozen=True, slots=True)
class EpochResult:
    """loss: mean over the epoch's judgments, while the weights moved.
    margin_violations: share of judgments whose chosen image did not win by the margin.
    """

    loss: float
    margin_violations: float


@dataclass(frozen=True, slots=True, eq=False)
class _Batch:
    """rows: judgments of this process, of num_rows. distinct: their images (U,). places: int64 (3, B)."""

    step: int
    rows: np.ndarray
    num_rows: int
    distinct: np.ndarray
    places: np.ndarray


@dataclass(slots=True)
class Curve:
    """What was measured so far, by epochs done: agreement with held-out judgments, and the training's own."""

    agreement: dict[int, TwoAFCResult] = field(default_factory=dict)
    epochs: dict[int, EpochResult] = field(default_factory=dict)

    def state(self) -> dict[str, Any]:
        """Return plain values that `resume` continues from."""
        return {
            "agreement": {epoch: asdict(result) for epoch, result in self.agreement.items()},
            "epochs": {epoch: asdict(result) for epoch, result in self.epochs.items()},
        }

    def resume(self, state: Mapping[str, Any]) -> None:
        """Take the place of the curve that gave `state`."""
        self.agreement.update({e: TwoAFCResult(**r) for e, r in state["agreement"].items()})
        self.epochs.update({e: EpochResult(**r) for e, r in state["epochs"].items()})


class TripletTraining:
    """Trains the parameters of `model` that require gradients; `step` counts optimiser steps.

    Several processes take an even share of each batch and add up their gradients.
    """

    def __init__(
        self,
        name: str,
        model: Any,
        objective: Objective,
        images: ImageArray,
        config: TrainingConfig,
        ctx: RunContext,
    ) -> None:
        """name: of the initializer, for messages. images: of the judged stimuli, at the model's size."""
        self._name, self._model, self._objective, self._images = name, model, objective, images
        self._config, self._ctx = config, ctx
        self._optimizer = adamw(
            [model],
            lr=config.lr,
            weight_decay=config.weight_decay,
            betas=config.betas,
            eps=config.eps,
        )
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        self.total_steps = config.num_steps(len(objective.columns))
        self.step = 0
        self.steps_per_epoch = self.total_steps // config.epochs
        self._pending: list[Tensor] = []
        self._numbers: list[list[float]] = []  # loss and violations of the epoch's steps so far

    def lr(self, step: int) -> float:
        """Return the learning rate of a step, from 1."""
        c, total = self._config, self.total_steps
        return warmup_cosine(step, total, c.num_warmup_steps(total), c.lr, c.min_lr)

    @property
    def epoch(self) -> int:
        """Return the epoch to go on with: that of the last step done, which may have been its last."""
        return max(1, math.ceil(self.step / self.steps_per_epoch))

    def train_epoch(self, epoch: int, after_step: Callable[[int], None]) -> EpochResult:
        """Visit every judgment once, in an order of this epoch's own; those before `step` were visited.

        after_step: called with the number of each step when it is done.

        Raises TrainingError naming the first step whose loss is not finite.
        """
        self._model.train()
        order = self._ctx.rng("order", epoch).permutation(len(self._objective.columns))
        batches = batches_of(order, self._config.batch_size)
        num_done = self.step - (epoch - 1) * self.steps_per_epoch
        if not num_done:
            self._numbers = []
        for batch, images in self._load_batches(batches[num_done:]):
            self._take_step(batch, images)
            if self.step % REPORT_EVERY_STEPS == 0:
                self._fetch()
            after_step(self.step)
        self._fetch()
        weights = [len(rows) for rows in batches]
        loss, violations = np.average(self._numbers, axis=0, weights=weights)
        return EpochResult(float(loss), float(violations))

    def state(self) -> dict[str, Any]:
        """Return tensors and plain values that `resume` continues from; tensors are not copied."""
        self._fetch()
        return {
            "step": self.step,
            "total_steps": self.total_steps,
            "numbers": self._numbers,
            "optimizer": self._optimizer.state_dict(),
        }

    def resume(self, state: Mapping[str, Any]) -> None:
        """Continue after the last step of `state`; CheckpointError when its schedule was another."""
        if state["total_steps"] != self.total_steps:
            raise CheckpointError(
                f"the saved state belongs to a stage of {state['total_steps']} steps, this one has "
                f"{self.total_steps}: have the judgments changed? Start afresh with --fresh"
            )
        self.step, self._numbers = state["step"], list(state["numbers"])
        self._optimizer.load_state_dict(state["optimizer"])

    def _load_batches(self, batches: Sequence[np.ndarray]) -> Iterator[tuple[_Batch, Tensor]]:
        """Yield this process's share of each batch with its images, on the device or in pinned memory."""
        found = (self._batch(rows, step) for step, rows in enumerate(batches, self.step + 1))
        is_on_host = not isinstance(self._images, ResidentImages)
        if is_on_host and torch.device(self._ctx.device).type == "cuda":
            yield from ahead(found, self._load_pinned)
        else:
            yield from ((batch, self._load(batch)) for batch in found)

    def _batch(self, rows: np.ndarray, step: int) -> _Batch:
        own = distributed.share_of(rows)
        columns = self._objective.columns[own].T
        distinct, places = np.unique(columns, return_inverse=True)
        return _Batch(step, own, len(rows), distinct, places.reshape(columns.shape))

    def _load(self, batch: _Batch) -> Tensor:
        c, size = self._config, self._model.image_size
        if not len(batch.rows):
            return torch.empty((0, 3, size, size), dtype=torch.uint8)
        rng = self._ctx.rng("augment", batch.step)
        return augment_alike(self._images[batch.distinct], c.crop_scale, c.flip, rng)

    def _load_pinned(self, batch: _Batch) -> Callable[[], Tensor]:
        size = self._model.image_size
        shape = (len(batch.distinct), 3, size, size)
        pinned = torch.empty(shape, dtype=torch.uint8, pin_memory=True)
        return lambda: pinned.copy_(self._load(batch))

    def _take_step(self, batch: _Batch, images: Tensor) -> None:
        self.step += 1
        set_lr(self._optimizer, self.lr(self.step))
        self._optimizer.zero_grad()
        draws = (self._ctx.stage, "dropout", self.step, distributed.rank())
        precision = matmul_precision(self._config.precision)  # of the backward pass, too
        with named_torch_seed(self._ctx.seed, *draws), precision:
            # a process without rows adds nothing to loss and violations
            nothing = torch.zeros(2, device=self._ctx.device)
            numbers = self._learn(batch, images) if len(batch.rows) else nothing
        distributed.sum_gradients(self._parameters)
        if self._config.clip_norm:
            nn.utils.clip_grad_norm_(self._model.parameters(), self._config.clip_norm)
        self._optimizer.step()
        self._pending.append(distributed.sum_over_ranks(numbers))

    def _learn(self, batch: _Batch, images: Tensor) -> Tensor:
        """Add the gradients of this process's rows; return what they add to loss and violations, (2,)."""
        share = len(batch.rows) / batch.num_rows
        losses, violations = self._losses(batch, images)
        weights = to_device(self._objective.weights[batch.rows], self._ctx.device)
        loss = (losses * weights).mean() * share
        loss.backward()
        return torch.stack([loss, violations.mean() * share]).detach()

    def _losses(self, batch: _Batch, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return loss and margin violation (B,); each distinct image goes through the tower once."""
        images = to_device(images, self._ctx.device)
        with autocast(self._ctx.device, self._config.precision):
            embeddings = self._model.encode_image(images)
        if not embeddings.requires_grad:
            raise nothing_changed(self._name, self._model)
        places = to_device(torch.from_numpy(batch.places), self._ctx.device)
        with matmul_precision("fp32"):
            return self._objective.losses(embeddings, places, batch.rows)

    def _fetch(self) -> None:
        """Take note of loss and violations of the steps since the last call, and report progress."""
        if not self._pending:
            return
        numbers = torch.stack(self._pending).tolist()  # the only place that waits for the device
        first_step = self.step - len(numbers) + 1
        self._pending.clear()
        for step, (loss, _) in enumerate(numbers, first_step):
            if not math.isfinite(loss):
                raise TrainingError(
                    f"initializer '{self._name}': the loss is {loss} at step {step} of {self.total_steps} "
                    f'(lr {self.lr(step):.3g}). Try a lower lr, a longer warm-up or precision = "fp32"'
                )
        self._ctx.progress(self.step, self.total_steps, loss=numbers[-1][0], lr=self.lr(self.step))
        self._numbers += numbers


def batches_of(order: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Return the rows of each batch; the last one may be smaller."""
    return np.split(order, range(batch_size, len(order), batch_size))


def num_distinct(columns: np.ndarray, batch_size: int) -> int:
    """Return how many images go through the tower in an epoch: the distinct ones of each batch.

    columns: int64 (N, 3), the images of the judgments in the order of the epoch.
    """
    whole = len(columns) // batch_size * batch_size
    batches = np.sort(columns[:whole].reshape(-1, batch_size * columns.shape[1]), axis=1)
    return int((np.diff(batches, axis=1) > 0).sum()) + len(batches) + len(np.unique(columns[whole:]))


def augment_alike(
    images: Tensor, crop_scale: tuple[float, float], flip: bool, rng: np.random.Generator
) -> Tensor:
    """Return the images, uint8 (U, 3, S, S), all with the same crop and all mirrored or none.

    crop_scale: smallest and largest share of the area that a crop keeps; (1, 1) crops nothing.
    """
    size = images.shape[-1]
    if flip and rng.random() < 0.5:
        images = images.flip(-1)
    if crop_scale == (1.0, 1.0):
        return images
    top, left, height, width = random_box(size, size, crop_scale, PROPORTIONS, rng)
    box = images[:, :, top : top + height, left : left + width]
    if box.device.type == "cpu":
        return F.interpolate(box, (size, size), mode="bicubic", antialias=True, align_corners=False)
    # GPUs resize floats only; up to a level from the CPU's pixels
    resized = F.interpolate(box.float(), (size, size), mode="bicubic", antialias=True, align_corners=False)
    return resized.round_().clamp_(0, 255).to(torch.uint8)
