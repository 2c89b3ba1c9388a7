"""The training loop of stage 1: one optimiser step per batch of judgments."""

from __future__ import annotations

# N judgments, B of a batch, U distinct images of a batch, S height and width
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from perceptinit.compute import distributed
from perceptinit.compute.devices import to_device
from perceptinit.compute.optim import adamw, autocast, set_lr, warmup_cosine
from perceptinit.errors import TrainingError
from perceptinit.initializers.objectives import Objective
from perceptinit.initializers.report import nothing_changed
from perceptinit.initializers.shared_augment import augment_alike
from perceptinit.initializers.training_config import TrainingConfig
from perceptinit.judgments.two_afc import ImageArray
from perceptinit.types import RunContext

REPORT_EVERY_STEPS = 10


@dataclass(frozen=True, slots=True)
class EpochResult:
    """loss: mean over the epoch's judgments, while the weights moved.
    margin_violations: share of judgments whose chosen image did not win by the margin.
    """

    loss: float
    margin_violations: float


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
        self._pending: list[Tensor] = []

    def lr(self, step: int) -> float:
        """Return the learning rate of a step, from 1."""
        c, total = self._config, self.total_steps
        return warmup_cosine(step, total, c.num_warmup_steps(total), c.lr, c.min_lr)

    def train_epoch(self, epoch: int) -> EpochResult:
        """Visit every judgment once, in an order of this epoch's own.

        Raises TrainingError naming the first step whose loss is not finite.
        """
        self._model.train()
        order = self._ctx.rng("order", epoch).permutation(len(self._objective.columns))
        batches = batches_of(order, self._config.batch_size)
        numbers: list[list[float]] = []
        for rows in batches:
            self._take_step(rows)
            if self.step % REPORT_EVERY_STEPS == 0:
                numbers += self._fetch()
        numbers += self._fetch()
        loss, violations = np.average(numbers, axis=0, weights=[len(rows) for rows in batches])
        return EpochResult(float(loss), float(violations))

    def _take_step(self, rows: np.ndarray) -> None:
        self.step += 1
        set_lr(self._optimizer, self.lr(self.step))
        self._optimizer.zero_grad()
        own = distributed.share_of(rows)
        told = self._learn(own, len(own) / len(rows)) if len(own) else torch.zeros(2)
        distributed.sum_gradients(self._parameters)
        if self._config.clip_norm:
            nn.utils.clip_grad_norm_(self._model.parameters(), self._config.clip_norm)
        self._optimizer.step()
        self._pending.append(distributed.sum_over_ranks(told.to(self._ctx.device)))

    def _learn(self, rows: np.ndarray, share: float) -> Tensor:
        """Add the gradients of rows that are `share` of a batch; return what they add to loss and violations, (2,)."""
        losses, violations = self._losses(rows)
        loss = (losses * to_device(self._objective.weights[rows], self._ctx.device)).mean() * share
        loss.backward()
        return torch.stack([loss, violations.mean() * share]).detach()

    def _losses(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return loss and margin violation (B,); each distinct image goes through the tower once."""
        columns = self._objective.columns[rows].T
        distinct, places = np.unique(columns, return_inverse=True)
        images = to_device(self._augmented(self._images[distinct]), self._ctx.device)
        with autocast(self._ctx.device, self._config.precision):
            embeddings = self._model.encode_image(images)
        if not embeddings.requires_grad:
            raise nothing_changed(self._name, self._model)
        on_device = to_device(torch.from_numpy(places.reshape(columns.shape)), self._ctx.device)
        return self._objective.losses(embeddings, on_device, rows)

    def _augmented(self, images: Tensor) -> Tensor:
        c = self._config
        rng = self._ctx.rng("augment", self.step)
        return augment_alike(images, c.crop_scale, c.flip, rng)

    def _fetch(self) -> list[list[float]]:
        """Return loss and violations of the steps since the last call, and report progress."""
        if not self._pending:
            return []
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
        return numbers


def batches_of(order: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Return the rows of each batch; the last one may be smaller."""
    return np.split(order, range(batch_size, len(order), batch_size))
