"""Classification of labeled images (`supervised`)."""

from __future__ import annotations

# B batch over all ranks, b rows on this rank, C classes, D embedding, S image size
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from timm.data import Mixup
from timm.loss import BinaryCrossEntropy, LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
from timm.scheduler import create_scheduler_v2
from torch import Tensor, nn

from perceptinit.backbones.image_models import ImageClassifier
from perceptinit.compute import distributed
from perceptinit.configs import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Share
from perceptinit.errors import DataError, problems_of
from perceptinit.pairs.batches import PairBatch
from perceptinit.pretrainers.objective import Objective
from perceptinit.pretrainers.pretraining import Pretraining
from perceptinit.pretrainers.training_config import ShareBelowOne, TrainingConfig
from perceptinit.protocols import DualEncoder, HasClasses, HasReadAhead, Pairs
from perceptinit.types import Classes, Pair

LossName = Literal["cross-entropy", "bce"]
ScheduleName = Literal["tanh", "poly", "step", "multistep"]


class LabelledPairs:
    """Pairs whose only token id is label + 1, because id 0 is padding.

    Args:
        pairs: Pairs with the images.
        labels: Label of each pair, int64 (num_pairs,), from 0.
    """

    def __init__(self, pairs: Pairs, labels: np.ndarray) -> None:
        self._pairs = pairs
        self._ids = labels + 1
        self.num_pairs: int = pairs.num_pairs
        self.block_sizes: Sequence[int] = pairs.block_sizes
        if isinstance(pairs, HasReadAhead):
            self.read_ahead = pairs.read_ahead

    def pair(self, index: int) -> Pair:
        """Return a pair with the id of its label."""
        pair = self._pairs.pair(index)
        return Pair(pair.key, pair.image, self._ids[index : index + 1])


class Supervised(Pretraining):
    """Train the image tower and a linear classifier on its embeddings to predict the class of an image.

    The run has no text tower, so evaluators that need one raise an error. The classes are those of the pairs,
    whose texts are ignored. Losses, mixup and cutmix are from timm. Evaluator `classification` measures the
    classifier, whose initial weights depend only on the seed.

    Source: timm; DeiT (Touvron et al. 2021) for most defaults.
    """

    parts = ("image", "head")

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(TrainingConfig):
        lr: PositiveFloat = 1e-3
        """Peak learning rate, at the end of the warm-up (DeiT: 5e-4 for 512 images per step)."""
        warmup_steps: NonNegativeInt = 0
        """Steps of linear warm-up, fewer than the total."""
        betas: tuple[ShareBelowOne, ShareBelowOne] = (0.9, 0.999)
        """Decay rates of AdamW's two moments (timm)."""
        eps: PositiveFloat = 1e-8
        """AdamW's epsilon (timm)."""
        weight_decay: NonNegativeFloat = 0.05
        """Weight decay of matrices and kernels (DeiT: 0.05)."""
        crop_scale: tuple[float, float] = (0.08, 1.0)
        """Range of the area of random crops, as a share of the image (timm: 0.08 to 1)."""
        flip: bool = True
        """Flip images horizontally with probability 0.5 (timm: true)."""
        schedule: ScheduleName | None = None
        """timm's schedule after the warm-up: "tanh", "poly", "step" or "multistep"; None for a cosine."""
        decay_epochs: tuple[PositiveInt, ...] | None = None
        """Epochs at which the rate decays: an interval for "step", an ascending list for "multistep"."""
        decay_rate: PositiveFloat | None = None
        """Decay factor of the learning rate; None for 0.1. With "poly", the exponent; None for 1."""
        loss: LossName = "cross-entropy"
        """timm's loss: "cross-entropy", or "bce" for the binary cross-entropy of each class (Wightman et al.
        2021)."""
        smoothing: ShareBelowOne = 0.1
        """Label smoothing (timm: 0.1)."""
        mixup: NonNegativeFloat = 0.0
        """Alpha of mixup; 0 disables it (Zhang et al. 2018; DeiT: 0.8)."""
        cutmix: NonNegativeFloat = 0.0
        """Alpha of cutmix; 0 disables it (Yun et al. 2019; DeiT: 1). If mixup is also enabled, each step uses
        one of them at random."""
        mixup_prob: Share = 1.0
        """Probability of mixing the images of a step (timm: 1)."""

        def __post_init__(self) -> None:
            TrainingConfig.__post_init__(self)
            decays = {"step": "one epoch", "multistep": "ascending epochs"}.get(self.schedule or "")
            epochs = self.decay_epochs or ()
            if not decays and epochs:
                raise ValueError(f"decay_epochs = {list(epochs)} needs schedule step or multistep")
            is_right = len(epochs) == 1 if self.schedule == "step" else len(epochs) > 0
            if decays and not (is_right and list(epochs) == sorted(set(epochs))):
                raise ValueError(f'schedule = "{self.schedule}" needs decay_epochs with {decays}')
            if self.decay_rate is not None and self.schedule not in ("step", "multistep", "poly"):
                raise ValueError(f"decay_rate = {self.decay_rate:g} needs schedule step, multistep or poly")

        @property
        def is_mixed(self) -> bool:
            """Whether mixup or cutmix is enabled."""
            return self.mixup > 0 or self.cutmix > 0

    config: Config

    @cached_property
    def classes(self) -> Classes:
        """Class names and labels of the pairs; DataError if they have none."""
        if not isinstance(self.pairs, HasClasses):
            raise DataError(
                f"pretrainer 'supervised' needs labels, and {type(self.pairs).__name__} has none. Use pairs "
                'with labels, such as "parquet" with a label_column'
            )
        return self.pairs.read_classes()

    @property
    def classnames(self) -> tuple[str, ...]:
        """Names of the classes; DataError if the pairs have none."""
        return self.classes.names

    def make_objective(self, model: Any) -> Classification:
        """Return the loss of the classifier, with mixup and cutmix."""
        c = self.config
        mixup = None
        if c.is_mixed:
            targets: Any = {"label_smoothing": c.smoothing, "num_classes": len(self.classnames)}
            mixup = Mixup(c.mixup, c.cutmix, prob=c.mixup_prob, **targets)
        return Classification(make_loss(c.loss, c.smoothing, c.is_mixed), mixup)

    def model(self, model: DualEncoder, seed: int) -> Any:
        """Return the image tower with a classifier for the classes of the pairs."""
        return ImageClassifier(model.image, self.classnames, seed)

    def rate(self, step: int) -> float:
        """Return the learning rate of a step (the first is 1): a linear warm-up, then the schedule."""
        if self._schedule is None or step <= self.num_warmup_steps:
            return super().rate(step)
        return self._schedule(step)

    @cached_property
    def _schedule(self) -> Callable[[int], float] | None:
        """timm's learning rate as a function of the step (the first is 1); None for a cosine."""
        c = self.config
        total = self.total_steps
        if c.schedule is None:
            return None
        falls = [epoch * self.steps_per_epoch for epoch in c.decay_epochs or ()]
        optimizer = torch.optim.SGD([torch.zeros(())], lr=c.lr)  # timm sets its learning rate
        scheduler, _ = create_scheduler_v2(
            optimizer,
            sched=c.schedule,
            num_epochs=total,
            decay_epochs=falls[0] if falls else total,
            decay_milestones=[fall + 1 for fall in falls],  # timm decays one update earlier
            decay_rate=c.decay_rate or (1.0 if c.schedule == "poly" else 0.1),
            min_lr=c.min_lr,
            step_on_epochs=False,
            updates_per_epoch=1,  # an epoch of timm is a step here, because a run may end within an epoch
        )

        def rate(step: int) -> float:
            scheduler.step_update(step - 1)
            return float(optimizer.param_groups[0]["lr"])

        return rate

    def samples(self) -> LabelledPairs:
        """Return the pairs with labels instead of texts."""
        return LabelledPairs(self.pairs, self.classes.labels)

    def preflight(self) -> Iterator[str]:
        """Yield problems with the labels or the batch size, and those common to all pretrainers."""
        yield from super().preflight()
        share = self.config.batch_size / distributed.world_size()
        if self.config.is_mixed and share % 2:
            yield (
                f"mixup and cutmix need an even number of images per process, got {share:g}. Change "
                "batch_size or the number of processes"
            )
        unlabelled = list(problems_of(lambda: self.classnames))
        yield from unlabelled
        if not unlabelled and len(self.classnames) < 2:
            yield f"the pairs have only one class, '{self.classnames[0]}'. A classifier needs at least two"


def make_loss(name: LossName, smoothing: float, is_mixed: bool) -> nn.Module:
    """Return timm's loss. For mixed images, its targets are smoothed class shares (B, C)."""
    if name == "bce":
        return BinaryCrossEntropy(smoothing)
    return SoftTargetCrossEntropy() if is_mixed else LabelSmoothingCrossEntropy(smoothing)


class Classification(Objective):
    """Loss of the classifier on embeddings.

    Args:
        loss: Maps logits (B, C) and targets to the mean loss.
        mixup: Mixes images and labels; None to leave them unchanged.
    """

    def __init__(self, loss: nn.Module, mixup: Mixup | None) -> None:
        super().__init__()
        self._loss_of = loss
        self._mixup = mixup

    def rows(self, batch: PairBatch, seed: int) -> dict[str, Tensor]:
        """Return images and targets: labels int64 (b,), or the class shares (b, C) of mixed images."""
        images = batch.images
        labels = batch.tokens[:, 0] - 1
        if self._mixup is not None:
            images, labels = mix_neighbours(self._mixup, images, labels, seed)
        return {"image": images, "targets": labels}

    def loss(self, model: Any, **rows: Tensor) -> Tensor:
        """Return the mean loss of the batch."""
        return self._loss_of(model.head(rows["image"]), rows["targets"])


def mix_neighbours(mixup: Mixup, images: Tensor, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Mix each image with its neighbor: 0 with 1, 2 with 3, ...

    timm mixes the first image with the last, which may be on different ranks. The order of a batch is random,
    so both are equivalent.

    Args:
        mixup: Mixes images and labels.
        images: uint8 (b, 3, S, S), with b even.
        labels: int64 (b,).
        seed: Seed of the mixing.

    Returns:
        Images float32 (b, 3, S, S) in [0, 1], and class shares (b, C).
    """
    pairs = torch.arange(len(images), device=images.device).view(-1, 2)
    order = torch.cat([pairs[:, 0], pairs[:, 1].flip(0)])
    floats = images[order].float().div_(255)
    state = np.random.get_state()
    np.random.seed(seed % 2**32)  # timm uses numpy's global generator
    try:
        floats, targets = mixup(floats, labels[order])
    finally:
        np.random.set_state(state)
    back = order.argsort()
    return floats[back], targets[back]
