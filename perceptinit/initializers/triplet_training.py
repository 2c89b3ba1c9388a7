"""The training loop of stage 1: one optimizer step per batch of judgments."""

# N judgments, B batch, U distinct images in a batch, S image size
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from perceptinit.compute import distributed
from perceptinit.compute.devices import to_device
from perceptinit.compute.optim import autocast, make_optimizer, matmul_precision, set_lr, warmup_cosine
from perceptinit.errors import CheckpointError, TrainingError
from perceptinit.images.decoding import prefetch
from perceptinit.initializers.norms import NormLayers
from perceptinit.initializers.objectives import JudgmentObjective, TripletConfig
from perceptinit.initializers.stage_images import ResidentImages
from perceptinit.initializers.weights import no_change_error
from perceptinit.judgments.two_afc import ImageArray
from perceptinit.pairs.augment import random_box
from perceptinit.seeding import named_torch_seed
from perceptinit.types import RunContext, State

REPORT_EVERY_STEPS = 10
TRAINING_FACTOR = 3  # cost of a forward and a backward pass, in forward passes
ASPECT_RATIOS = (3 / 4, 4 / 3)  # range of width / height, as in torchvision's RandomResizedCrop


@dataclass(frozen=True, slots=True, eq=False)
class _Batch:
    """The part of a batch that this rank trains on."""

    step: int
    rows: np.ndarray  # judgments on this rank, int64 (B,)
    num_rows: int  # number of judgments on all ranks
    distinct: np.ndarray  # images of these judgments, int64 (U,)
    places: np.ndarray  # indices into `distinct` of the images of each judgment, int64 (3, B)


class TripletTraining:
    """Training loop for the tower's parameters that require gradients.

    Each rank trains on its share of every batch, and gradients are summed over ranks.

    Args:
        name: Name of the initializer, for messages.
        model: Image tower.
        objective: Judgments and their loss.
        images: Pixels of the judged stimuli.
        config: Configuration of stage 1.
        ctx: Device, seed and progress of the run.

    Attributes:
        step: Number of completed optimizer steps.
        total_steps: Number of optimizer steps in the stage.
        norms: Layers with running statistics. Whether they are frozen is decided before the first step.
    """

    def __init__(
        self,
        name: str,
        model: Any,
        objective: JudgmentObjective,
        images: ImageArray,
        config: TripletConfig,
        ctx: RunContext,
    ) -> None:
        self._name = name
        self._model = model
        self._objective = objective
        self._images = images
        self._config = config
        self._ctx = ctx
        self._optimizer = make_optimizer(
            [model],
            config.optimizer,
            lr=config.lr,
            weight_decay=config.weight_decay,
            betas=config.betas,
            eps=config.eps,
            no_decay=config.no_decay or (),
        )
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        self.norms = NormLayers.of(model, config.norm)
        self.total_steps = config.num_steps(len(objective.columns))
        self.step = 0
        self.steps_per_epoch = self.total_steps // config.epochs
        self._pending: list[Tensor] = []
        self._numbers: list[list[float]] = []  # loss and violations by step of the current epoch

    @property
    def image_sets(self) -> list[tuple[ImageArray, np.ndarray]]:
        """The images of the training judgments, with the indices in use."""
        return [(self._images, self._objective.columns)]

    def replace_images(self, model: Any, images: Sequence[ImageArray]) -> None:
        """Encode other inputs with another model."""
        self._model = model
        (self._images,) = images

    def lr(self, step: int) -> float:
        """Return the learning rate of a step; the first step is 1."""
        c = self._config
        total = self.total_steps
        return warmup_cosine(step, total, c.num_warmup_steps(total), c.lr, c.min_lr)

    @property
    def epoch(self) -> int:
        """Return the epoch of the last completed step; 1 before the first step."""
        return max(1, math.ceil(self.step / self.steps_per_epoch))

    def train_epoch(self, epoch: int, state: Callable[[], State]) -> dict[str, float]:
        """Train for one epoch. A resumed epoch starts after the last completed step.

        Args:
            epoch: Number of the epoch, from 1.
            state: Returns the state of the stage, which is offered to the run after each step.

        Returns:
            `loss` and `margin_violations`, the share of judgments that violate the margin: means over the
            judgments of the epoch, each measured at its training step.

        Raises:
            TrainingError: If a loss is not finite.
        """
        self._model.train()
        self.norms.freeze()
        if self._config.micro_batch:
            self.norms.check_micro_batch(self._model)
        order = self._ctx.rng("order", epoch).permutation(len(self._objective.columns))
        size = self._config.judgments_per_step
        batches = np.split(order, range(size, len(order), size))
        num_done = self.step - (epoch - 1) * self.steps_per_epoch
        if not num_done:
            self._numbers = []
        for batch, images in self._load_batches(batches[num_done:]):
            self._take_step(batch, images)
            if self.step % REPORT_EVERY_STEPS == 0:
                self._fetch()
            self._ctx.offer(self.step, state)
        self._fetch()
        weights = list(map(len, batches))
        loss, violations = np.average(self._numbers, axis=0, weights=weights)
        return {"loss": float(loss), "margin_violations": float(violations)}

    def announce(self, num_images: int, seconds_per_image: float) -> None:
        """Report the number of images to encode and the estimated duration, before the first step."""
        minutes = TRAINING_FACTOR * num_images * seconds_per_image / 60
        self._ctx.progress(0, self.total_steps, images_planned=num_images, minutes_planned=minutes)

    def state(self) -> dict[str, Any]:
        """Return the state for `resume`: tensors, which are not copied, and plain values."""
        self._fetch()
        return {
            "step": self.step,
            "total_steps": self.total_steps,
            "numbers": self._numbers,
            "are_norms_frozen": self.norms.are_frozen,
            "optimizer": self._optimizer.state_dict(),
        }

    def resume(self, state: Mapping[str, Any]) -> None:
        """Resume from `state`.

        Raises:
            CheckpointError: If the state is from a stage with another number of steps.
        """
        if state["total_steps"] != self.total_steps:
            raise CheckpointError(
                f"the saved state is from a stage of {state['total_steps']} steps, but this stage has "
                f"{self.total_steps}. If the judgments changed, start over with --fresh"
            )
        self.step = state["step"]
        self._numbers = list(state["numbers"])
        # not from the statistics, which training changes; earlier versions trained all layers
        self.norms = replace(self.norms, are_frozen=state.get("are_norms_frozen", False))
        self._optimizer.load_state_dict(state["optimizer"])

    def _load_batches(self, batches: Sequence[np.ndarray]) -> Iterator[tuple[_Batch, Tensor]]:
        """Yield this rank's share of each batch with its images, on the device or in pinned memory."""
        shares = (self._share_of(rows, step) for step, rows in enumerate(batches, self.step + 1))
        is_on_host = not isinstance(self._images, ResidentImages)
        if is_on_host and torch.device(self._ctx.device).type == "cuda":
            yield from prefetch(shares, self._load_pinned)
        else:
            yield from ((batch, self._load(batch)) for batch in shares)

    def _share_of(self, rows: np.ndarray, step: int) -> _Batch:
        own = distributed.share_of(rows)
        columns = self._objective.columns[own].T
        distinct, places = np.unique(columns, return_inverse=True)
        return _Batch(step, own, len(rows), distinct, places.reshape(columns.shape))

    def _load(self, batch: _Batch) -> Tensor:
        c = self._config
        size = self._model.image_size
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
        with matmul_precision(self._config.precision):  # also for the backward pass
            numbers = torch.zeros(2, device=self._ctx.device)  # for a rank without judgments
            if len(batch.rows):
                numbers = self._add_gradients(batch, images)
        distributed.sum_gradients(self._parameters)
        if self._config.clip_norm:
            nn.utils.clip_grad_norm_(self._model.parameters(), self._config.clip_norm)
        self._optimizer.step()
        self._pending.append(distributed.reduce_over_ranks(numbers))

    def _add_gradients(self, batch: _Batch, images: Tensor) -> Tensor:
        """Accumulate the gradients of this rank; return its contribution to loss and violations, (2,).

        With micro-batches, the first pass saves no graph, and a second pass encodes each of them again.
        """
        share = len(batch.rows) / batch.num_rows
        images = to_device(images, self._ctx.device)
        parts = images.split(self._config.micro_batch or len(images))
        is_whole = len(parts) == 1
        with torch.set_grad_enabled(is_whole):
            embedded = [self._encode(part, index) for index, part in enumerate(parts)]
        embeddings = torch.cat(embedded).detach().requires_grad_()
        places = to_device(torch.from_numpy(batch.places), self._ctx.device)
        with matmul_precision("fp32"):
            losses, violations = self._objective.losses(embeddings, places, batch.rows)
        weights = to_device(self._objective.weights[batch.rows], self._ctx.device)
        loss = (losses * weights).mean() * share
        loss.backward()
        assert embeddings.grad is not None
        gradients = embeddings.grad.split(len(parts[0]))
        for index, (part, gradient) in enumerate(zip(parts, gradients, strict=True)):
            own = embedded[index] if is_whole else self._encode(part, index)
            if not own.requires_grad:
                raise no_change_error(self._name, self._model)
            own.backward(gradient)
        return torch.stack([loss, violations.mean() * share]).detach()

    def _encode(self, images: Tensor, index: int) -> Tensor:
        """Return the embeddings of a micro-batch, with the same dropout in both passes."""
        part = (index,) if index else ()
        seed = named_torch_seed(
            self._ctx.seed, self._ctx.stage, "dropout", self.step, distributed.rank(), *part
        )
        with seed, autocast(self._ctx.device, self._config.precision):
            embeddings: Tensor = self._model.encode_image(images)
        return embeddings

    def _fetch(self) -> None:
        """Fetch the loss and violations of the steps since the last call, and report progress."""
        if not self._pending:
            return
        numbers = torch.stack(self._pending).tolist()  # the only synchronization with the device
        first_step = self.step - len(numbers) + 1
        self._pending.clear()
        for step, (loss, _) in enumerate(numbers, first_step):
            if not math.isfinite(loss):
                raise TrainingError(
                    f"initializer '{self._name}': the loss is {loss} at step {step} of {self.total_steps} "
                    f'(lr {self.lr(step):.3g}). Lower lr, increase warmup_steps or set precision = "fp32"'
                )
        self._ctx.progress(self.step, self.total_steps, loss=numbers[-1][0], lr=self.lr(self.step))
        self._numbers += numbers


def augment_alike(
    images: Tensor, crop_scale: tuple[float, float], flip: bool, rng: np.random.Generator
) -> Tensor:
    """Return the images, all with the same random crop and flip.

    Args:
        images: uint8 (U, 3, S, S).
        crop_scale: Range of the crop's area, as a share of the image; (1, 1) disables cropping.
        flip: Whether to flip all images horizontally, with probability 0.5.
        rng: Source of random numbers.

    Returns:
        uint8 (U, 3, S, S).
    """
    size = images.shape[-1]
    if flip and rng.random() < 0.5:
        images = images.flip(-1)
    if crop_scale == (1.0, 1.0):
        return images
    top, left, height, width = random_box(size, size, crop_scale, ASPECT_RATIOS, rng)
    box = images[:, :, top : top + height, left : left + width]
    if box.device.type == "cpu":
        return F.interpolate(box, (size, size), mode="bicubic", antialias=True, align_corners=False)
    # GPUs only resize floats; pixels differ from the CPU's by at most one level
    resized = F.interpolate(box.float(), (size, size), mode="bicubic", antialias=True, align_corners=False)
    return resized.round_().clamp_(0, 255).to(torch.uint8)
