"""A CLIP training in progress: one optimiser step after the other, and the state between them."""

from __future__ import annotations

# B batch, T tokens, D embedding
import hashlib
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from perceptinit import optim
from perceptinit.errors import CheckpointError, TrainingError
from perceptinit.pairs.loader import PairBatch
from perceptinit.pairs.unusable import UnusablePairs
from perceptinit.pretrainers.contrastive import contrastive_loss
from perceptinit.seeding import named_torch_seed
from perceptinit.types import RunContext

if TYPE_CHECKING:
    from perceptinit.pretrainers.clip import Clip

# pixel values of a batch that go into its fingerprint: enough to tell crops apart, cheap at any size
NUM_HASHED_PIXELS = 65536


class ClipTraining:
    """Model, optimiser, loss scaling and accounts of a run of `total_steps` steps.

    num_steps: steps done. data_sha256: fingerprint of the batches of these steps.
    """

    def __init__(
        self, config: Clip.Config, model: Any, ctx: RunContext, num_pairs: int, total_steps: int
    ) -> None:
        self.num_steps = 0
        self.data_sha256 = ""
        self._config = config
        self._model = model
        self._ctx = ctx
        self._total_steps = total_steps
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        self._optimizer = optim.adamw(
            [model],
            lr=config.lr,
            weight_decay=config.weight_decay,
            betas=config.betas,
            eps=config.eps,
        )
        self._optimizer.zero_grad(set_to_none=True)  # an earlier stage may have left gradients
        device = torch.device(ctx.device).type
        self._scaler = torch.amp.GradScaler(device, enabled=config.precision == "fp16")
        self._unusable = UnusablePairs(num_pairs, config.max_bad_share, ctx.warn)

    def step(self, batch: PairBatch) -> dict[str, Any]:
        """Do one optimiser step and return its metrics.

        Raises TrainingError when the loss or a gradient is not finite, before the weights change.
        """
        step = self.num_steps + 1
        self._unusable.note(batch.unusable)
        lr = self._set_lr(step)
        self._model.train()
        # dropout draws by the step's own name, so that a run that was interrupted draws the same
        with named_torch_seed(self._ctx.seed, self._ctx.stage, "step", step):
            loss = self._loss(batch)
            self._scaler.scale(loss).backward()
        self._scaler.unscale_(self._optimizer)
        grad_norm = _clip(self._parameters, self._config.clip_norm)
        self._check_finite(loss, grad_norm, step, batch)
        self._update()
        self.num_steps = step
        self.data_sha256 = fingerprint(self.data_sha256, batch)
        metrics = {
            "loss": loss.detach(),
            "lr": lr,
            "logit_scale": self._model.logit_scale.detach().exp(),
            "grad_norm": grad_norm,
        }
        if self._unusable.num_replaced:
            metrics["num_replaced"] = self._unusable.num_replaced
        return metrics

    def _set_lr(self, step: int) -> float:
        config = self._config
        lr = optim.warmup_cosine(
            step, self._total_steps, config.warmup_steps, config.lr, config.min_lr
        )
        optim.set_lr(self._optimizer, lr)
        return lr

    def _loss(self, batch: PairBatch) -> torch.Tensor:
        device = self._ctx.device
        images = batch.images.to(device, non_blocking=True)
        tokens = batch.tokens.to(device, non_blocking=True)
        with optim.autocast(device, self._config.precision):
            image_features = self._model.encode_image(images)
            text_features = self._model.encode_text(tokens)
            return contrastive_loss(image_features, text_features, self._model.logit_scale)

    def _check_finite(
        self, loss: torch.Tensor, grad_norm: torch.Tensor, step: int, batch: PairBatch
    ) -> None:
        finite = torch.isfinite(loss)
        if not self._scaler.is_enabled():  # loss scaling skips such steps and tries a smaller scale
            finite &= torch.isfinite(grad_norm)
        if finite:
            return
        keys = ", ".join(batch.keys[:3])
        more = f" and {len(batch.keys) - 3} more" if len(batch.keys) > 3 else ""
        raise TrainingError(
            f"step {step}: the loss is {loss.item():g}, the norm of the gradients {grad_norm.item():g}. "
            f"Samples: {keys}{more}. Lower lr, lengthen the warm-up or set clip_norm; "
            "with fp16, try bf16"
        )

    def _update(self) -> None:
        """Apply the gradients and keep the temperature in its bounds."""
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            self._model.logit_scale.clamp_(0, math.log(self._config.max_logit_scale))

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain values that `load_state_dict` continues from."""
        return {
            "num_steps": self.num_steps,
            "total_steps": self._total_steps,
            "data_sha256": self.data_sha256,
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
            "unusable": sorted(self._unusable.indices),
            "num_replaced": self._unusable.num_replaced,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a state of the same run; CheckpointError when its schedule was another."""
        if state["total_steps"] != self._total_steps:
            raise CheckpointError(
                f"the saved state belongs to a run of {state['total_steps']} steps, this one has "
                f"{self._total_steps}: have the pairs changed? Start afresh with --fresh"
            )
        self.num_steps = state["num_steps"]
        self.data_sha256 = state["data_sha256"]
        self._optimizer.load_state_dict(dict(state["optimizer"]))
        self._scaler.load_state_dict(dict(state["scaler"]))
        self._unusable.indices = set(state["unusable"])
        self._unusable.num_replaced = state["num_replaced"]


def fingerprint(before: str, batch: PairBatch) -> str:
    """Return the SHA-256 of the batches so far, from the one before and this batch.

    Covers keys, token ids and every n-th pixel value, in order.
    """
    digest = hashlib.sha256(before.encode())
    digest.update("\x1f".join(batch.keys).encode())
    digest.update(f"{tuple(batch.tokens.shape)} {tuple(batch.images.shape)}".encode())
    digest.update(batch.tokens.numpy().tobytes())
    pixels = batch.images.flatten()
    every = max(1, len(pixels) // NUM_HASHED_PIXELS) | 1  # odd, to go through all columns
    digest.update(pixels[::every].numpy().tobytes())
    return digest.hexdigest()


def _clip(parameters: list[nn.Parameter], clip_norm: float) -> torch.Tensor:
    """Return the norm over all gradients, 0-d, after scaling them down to clip_norm unless it is 0."""
    if clip_norm:
        return nn.utils.clip_grad_norm_(parameters, clip_norm)
    return torch.stack([p.grad.norm() for p in parameters if p.grad is not None]).norm()
