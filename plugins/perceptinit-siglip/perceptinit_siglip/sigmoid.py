"""Pretraining with SigLIP's sigmoid loss (`siglip/sigmoid`)."""

from __future__ import annotations

# B batch, D embedding
import math
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from perceptinit.compute import optim
from perceptinit.configs import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Share
from perceptinit.errors import TrainingError
from perceptinit.pairs.augment import Augment
from perceptinit.pairs.batches import PairBatch
from perceptinit.pairs.loader import PairLoader
from perceptinit.protocols import DualEncoder, Pairs
from perceptinit.seeding import named_torch_seed
from perceptinit.types import RunContext, StagePlan, StepResult


def sigmoid_loss(images: Tensor, texts: Tensor, logit_scale: Tensor, logit_bias: Tensor) -> Tensor:
    """Return the loss per image, 0-d: the sum over all texts of -log P(right answer).

    images, texts: (B, D), of any length; row i of both is one pair.
    logit_scale: natural logarithm of the inverse temperature, 0-d; logit_bias: 0-d.
    Source: Zhai et al. 2023, algorithm 1.
    """
    images, texts = (functional.normalize(x.float(), dim=-1) for x in (images, texts))
    logits = logit_scale.exp() * images @ texts.T + logit_bias
    answers = 2 * torch.eye(len(logits), device=logits.device) - 1
    return -functional.logsigmoid(answers * logits).sum() / len(logits)


class Sigmoid:
    """Trains both towers, the temperature and a bias with SigLIP's loss.

    AdamW with a linear warm-up and a cosine that ends at the last step. Batches, crops and dropout
    depend on the run's seed and the step alone.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        epochs: PositiveInt = 32
        """Passes over the pairs."""
        batch_size: PositiveInt = 1024
        """Pairs in an optimiser step; what does not fill an epoch's last batch is left out."""
        lr: PositiveFloat = 1e-3
        """Largest learning rate, reached at the end of the warm-up (SigLIP: 1e-3)."""
        min_lr: NonNegativeFloat = 0.0
        """Learning rate of the last step."""
        warmup_steps: NonNegativeInt = 2000
        """Steps in which the rate rises linearly; fewer than the run has."""
        betas: tuple[Share, Share] = (0.9, 0.95)
        """AdamW's decay of the two moments (SigLIP: 0.95 for the second, which steadies large batches)."""
        weight_decay: NonNegativeFloat = 1e-4
        """AdamW's decay of matrices and kernels (SigLIP: 1e-4)."""
        clip_norm: NonNegativeFloat = 1.0
        """Largest norm of the gradient, above which it is scaled down; 0 never clips (SigLIP: 1)."""
        temperature: PositiveFloat = 10.0
        """Inverse temperature at the first step (SigLIP: 10)."""
        bias: float = -10.0
        """Bias of the logits at the first step: most pairs do not belong together (SigLIP: -10)."""
        crop_scale: tuple[Share, Share] = (0.9, 1.0)
        """Smallest and largest share of an image's area that a random crop keeps."""
        precision: optim.Precision = "fp32"
        """Arithmetic of the towers; the loss is fp32."""

        def smoke(self) -> Sigmoid.Config:
            """Return a copy of two epochs with small batches."""
            return replace(self, epochs=2, batch_size=32, warmup_steps=1)

    def __init__(self, config: Config, pairs: Pairs) -> None:
        self.config, self.pairs = config, pairs
        self._num_steps = 0
        self._bias = nn.Parameter(torch.tensor(config.bias))
        self._optimizer: torch.optim.Optimizer | None = None
        self._loaded: Mapping[str, Any] | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in the pairs."""
        return self.pairs.num_pairs // self.config.batch_size

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole run."""
        return self.config.epochs * self.steps_per_epoch

    def preflight(self) -> Iterator[str]:
        """Yield why it could not train: too few pairs, or a warm-up that does not end."""
        if not self.steps_per_epoch:
            yield f"batch_size = {self.config.batch_size}, and there are {self.pairs.num_pairs} pairs"
        elif self.config.warmup_steps >= self.total_steps:
            yield f"warmup_steps = {self.config.warmup_steps} in a run of {self.total_steps} steps"

    def plan(self) -> StagePlan:
        """Return steps and samples."""
        used = self.total_steps * self.config.batch_size
        return StagePlan(steps=self.total_steps, num_images=used, num_texts=used)

    def steps(self, model: DualEncoder, ctx: RunContext) -> Iterator[StepResult]:
        """Train, one optimiser step per item, from the loaded state on.

        Raises TrainingError naming the first step whose loss is not finite.
        """
        for problem in self.preflight():
            raise TrainingError(problem)
        self._start(model, ctx)
        with closing(
            self._loader(model, ctx).batches(self._num_steps, self.total_steps)
        ) as batches:
            for batch in batches:
                metrics = self._step(model, batch, ctx)
                step = self._num_steps
                yield StepResult(
                    step=step,
                    samples_seen=step * self.config.batch_size,
                    epoch=-(-step // self.steps_per_epoch),
                    end_of_epoch=step % self.steps_per_epoch == 0,
                    metrics=metrics,
                )

    def _start(self, model: Any, ctx: RunContext) -> None:
        """Make the optimiser, and continue from the loaded state or set the first temperature."""
        c = self.config
        self._bias.data = self._bias.data.to(ctx.device)
        self._optimizer = optim.adamw([model], lr=c.lr, weight_decay=c.weight_decay, betas=c.betas)
        self._optimizer.add_param_group({"params": [self._bias], "weight_decay": 0.0})
        if self._loaded is None:
            with torch.no_grad():
                model.logit_scale.fill_(math.log(c.temperature))
            return
        self._optimizer.load_state_dict(dict(self._loaded["optimizer"]))
        self._bias.data.copy_(self._loaded["bias"])
        self._num_steps = self._loaded["num_steps"]

    def _step(self, model: Any, batch: PairBatch, ctx: RunContext) -> dict[str, Any]:
        assert self._optimizer is not None
        c, step = self.config, self._num_steps + 1
        lr = optim.warmup_cosine(step, self.total_steps, c.warmup_steps, c.lr, c.min_lr)
        optim.set_lr(self._optimizer, lr)
        model.train()
        self._optimizer.zero_grad()
        with named_torch_seed(ctx.seed, ctx.stage, "step", step):  # dropout, by the step's name
            with optim.autocast(ctx.device, c.precision):
                images = model.encode_image(batch.images.to(ctx.device))
                texts = model.encode_text(batch.tokens.to(ctx.device))
            loss = sigmoid_loss(images, texts, model.logit_scale, self._bias)
            loss.backward()
        if not torch.isfinite(loss):
            raise TrainingError(
                f"step {step}: the loss is {loss.item():g}. Lower lr or set clip_norm"
            )
        if c.clip_norm:
            nn.utils.clip_grad_norm_([*model.parameters(), self._bias], c.clip_norm)
        self._optimizer.step()
        self._num_steps = step
        scale, bias = model.logit_scale.detach().exp(), self._bias.detach().clone()
        return {"loss": loss.detach(), "lr": lr, "logit_scale": scale, "logit_bias": bias}

    def _loader(self, model: DualEncoder, ctx: RunContext) -> PairLoader:
        return PairLoader(
            self.pairs,
            batch_size=self.config.batch_size,
            image_size=model.image_size,
            tokenize=model.tokenize,
            context_length=model.context_length,
            ctx=ctx,
            augment=Augment(scale=self.config.crop_scale),
            num_workers=ctx.num_workers,
        )

    def state_dict(self) -> dict[str, Any]:
        """Return all that is needed to continue after the last step."""
        if self._optimizer is None:
            raise RuntimeError("no step has been done: there is no state yet")
        return {
            "num_steps": self._num_steps,
            "bias": self._bias.detach().clone(),
            "optimizer": self._optimizer.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`; called before `steps`."""
        self._loaded = state
