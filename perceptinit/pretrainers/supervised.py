"""Pretraining on labels (`supervised`): a classifier on the image tower."""

from __future__ import annotations

# B batch of all processes, b rows of this process, C classes, D embedding, S image size
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
from perceptinit.pretrainers.training_config import TrainingConfig
from perceptinit.protocols import DualEncoder, HasClasses, Pairs
from perceptinit.types import Classes, Pair

LossName = Literal["cross-entropy", "bce"]
ScheduleName = Literal["tanh", "poly", "step", "multistep"]


class LabelledPairs:
    """The same pairs, whose texts are one id each: the label and 1, since 0 is padding.

    labels: int64 (num_pairs,), from 0 on.
    """

    def __init__(self, pairs: Pairs, labels: np.ndarray) -> None:
        self._pairs, self._ids = pairs, labels + 1
        self.num_pairs: int = pairs.num_pairs
        self.block_sizes: Sequence[int] = pairs.block_sizes

    def pair(self, index: int) -> Pair:
        """Return pair `index` with its label's id."""
        pair = self._pairs.pair(index)
        return Pair(pair.key, pair.image, self._ids[index : index + 1])


class Supervised(Pretraining):
    """Trains the image tower and a linear classifier on its embeddings to name the class of an image.

    There is no text tower: it is neither trained nor saved, and what needs it cannot be measured. The
    classes are those of the pairs, whose texts are not looked at. Losses and the mixing of images are timm's.
    Evaluator `classification` measures the classifier, whose first weights depend on the seed alone.
    """

    parts = ("image", "head")

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(TrainingConfig):
        lr: PositiveFloat = 1e-3
        """Largest learning rate, reached at the end of the warm-up (DeiT: 5e-4 for 512 images in a step)."""
        warmup_steps: NonNegativeInt = 0
        """Steps in which the rate rises linearly; fewer than the run has."""
        betas: tuple[float, float] = (0.9, 0.999)
        """AdamW's decay of the two moments (timm)."""
        eps: PositiveFloat = 1e-8
        """AdamW's epsilon (timm)."""
        weight_decay: NonNegativeFloat = 0.05
        """AdamW's decay of matrices and kernels (DeiT: 0.05)."""
        crop_scale: tuple[float, float] = (0.08, 1.0)
        """Share of the area that a random box covers, smallest and largest (timm: 0.08 to 1)."""
        flip: bool = True
        """Mirror half of the images (timm does)."""
        schedule: ScheduleName | None = None
        """timm's "tanh", "poly", "step" or "multistep" after the warm-up; a cosine unless given."""
        decay_epochs: tuple[PositiveInt, ...] | None = None
        """Epochs after which the rate falls: of "step" the one interval, of "multistep" all that rise."""
        decay_rate: PositiveFloat | None = None
        """Factor on the rate then, 0.1 unless given; of "poly" the power, 1 unless given."""
        loss: LossName = "cross-entropy"
        """timm's "cross-entropy", or "bce": each class is a yes-no question (Wightman et al. 2021)."""
        smoothing: Share = 0.1
        """Share of the target that is spread over all classes (timm: 0.1)."""
        mixup: NonNegativeFloat = 0.0
        """Alpha of the share that one image of two has in both; 0: none (Zhang et al. 2018; DeiT: 0.8)."""
        cutmix: NonNegativeFloat = 0.0
        """Alpha of the area that a box of the other image has; 0: none (Yun et al. 2019; DeiT: 1). With mixup
        besides, each step draws one of both."""
        mixup_prob: Share = 1.0
        """Share of the steps whose images are mixed (timm: 1)."""

        def __post_init__(self) -> None:
            TrainingConfig.__post_init__(self)
            if self.smoothing == 1:
                raise ValueError("smoothing = 1 would leave nothing of the labels; it is below 1")
            self._check_schedule()

        def _check_schedule(self) -> None:
            decays = {"step": "one epoch", "multistep": "epochs that rise"}.get(self.schedule or "")
            epochs = self.decay_epochs or ()
            if not decays and epochs:
                raise ValueError(f"decay_epochs = {list(epochs)} is for step and multistep")
            is_right = len(epochs) == 1 if self.schedule == "step" else len(epochs) > 0
            if decays and not (is_right and list(epochs) == sorted(set(epochs))):
                raise ValueError(f'schedule = "{self.schedule}" needs decay_epochs, {decays}')
            if self.decay_rate is not None and self.schedule not in ("step", "multistep", "poly"):
                raise ValueError(f"decay_rate = {self.decay_rate:g} is for step, multistep and poly")

        @property
        def is_mixed(self) -> bool:
            return self.mixup > 0 or self.cutmix > 0

    config: Config

    @cached_property
    def classes(self) -> Classes:
        """Class names and labels of the pairs; DataError when they have none."""
        if not isinstance(self.pairs, HasClasses):
            raise DataError(
                f"pretrainer 'supervised' needs labels, which {type(self.pairs).__name__} does not give"
            )
        return self.pairs.read_classes()

    @property
    def classnames(self) -> tuple[str, ...]:
        """Names of the classes that are trained; DataError when the pairs have none."""
        return self.classes.names

    def make_objective(self, model: Any) -> Classification:
        """Return the loss of the classifier, and how images are mixed."""
        c, mixup = self.config, None
        if c.is_mixed:
            targets: Any = {"label_smoothing": c.smoothing, "num_classes": len(self.classnames)}
            mixup = Mixup(c.mixup, c.cutmix, prob=c.mixup_prob, **targets)
        return Classification(make_loss(c.loss, c.smoothing, c.is_mixed), mixup)

    def model(self, model: DualEncoder, seed: int) -> Any:
        """Return the image tower with a classifier for the classes of the pairs."""
        return ImageClassifier(model.image, self.classnames, seed)

    def rate(self, step: int) -> float:
        """Return the learning rate of optimiser step 1, 2, ...: a linear warm-up, then the schedule."""
        if self._schedule is None or step <= self.config.warmup_steps:
            return super().rate(step)
        return self._schedule(step)

    @cached_property
    def _schedule(self) -> Callable[[int], float] | None:
        """The rate of optimiser step 1, 2, ... as timm's training has it when it counts updates."""
        c, total = self.config, self.total_steps
        if c.schedule is None:
            return None
        falls = [epoch * self.steps_per_epoch for epoch in c.decay_epochs or ()]
        optimizer = torch.optim.SGD([torch.zeros(())], lr=c.lr)  # holds the rate for timm
        scheduler, _ = create_scheduler_v2(
            optimizer,
            sched=c.schedule,
            num_epochs=total,
            decay_epochs=falls[0] if falls else total,
            decay_milestones=[fall + 1 for fall in falls],  # timm's fall one update before them
            decay_rate=c.decay_rate or (1.0 if c.schedule == "poly" else 0.1),
            min_lr=c.min_lr,
            step_on_epochs=False,
            updates_per_epoch=1,  # an epoch of timm's is a step: the run may end within one of ours
        )

        def rate(step: int) -> float:
            scheduler.step_update(step - 1)
            return float(optimizer.param_groups[0]["lr"])

        return rate

    def samples(self) -> LabelledPairs:
        """Return the pairs with labels in the place of texts."""
        return LabelledPairs(self.pairs, self.classes.labels)

    def preflight(self) -> Iterator[str]:
        """Yield why it could not train: no labels, one class, or what any pretraining lacks."""
        yield from super().preflight()
        share = self.config.batch_size / distributed.world_size()
        if self.config.is_mixed and share % 2:
            yield f"mixup and cutmix mix two images: {share:g} in a step of a process are not even"
        unlabelled = list(problems_of(lambda: self.classnames))
        yield from unlabelled
        if not unlabelled and len(self.classnames) < 2:
            yield f"there is one class only, '{self.classnames[0]}': nothing to tell apart"


def make_loss(name: LossName, smoothing: float, is_mixed: bool) -> nn.Module:
    """Return timm's loss; that of mixed images takes targets (B, C), which are smoothed already."""
    if name == "bce":
        return BinaryCrossEntropy(smoothing)
    return SoftTargetCrossEntropy() if is_mixed else LabelSmoothingCrossEntropy(smoothing)


class Classification(Objective):
    """Loss of the model's head on the embeddings; a batch's ids are labels and 1 (see LabelledPairs).

    mixup: timm's, None for images as they are.
    """

    def __init__(self, loss: nn.Module, mixup: Mixup | None) -> None:
        super().__init__()
        self._loss_of = loss
        self._mixup = mixup

    def rows(self, batch: PairBatch, seed: int) -> dict[str, Tensor]:
        """Return the images and their targets: labels int64 (b,), or shares of classes (b, C) if mixed."""
        images, labels = batch.images, batch.tokens[:, 0] - 1
        if self._mixup is not None:
            images, labels = mix_neighbours(self._mixup, images, labels, seed)
        return {"image": images, "targets": labels}

    def loss(self, model: Any, **rows: Tensor) -> Tensor:
        """Return the mean loss of the batch."""
        return self._loss_of(model.head(rows["image"]), rows["targets"])


def mix_neighbours(mixup: Mixup, images: Tensor, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Return images float32 (b, 3, S, S) in [0, 1] and shares of classes (b, C); b is even.

    Each image is mixed with its neighbour, 0 with 1, 2 with 3, ...: timm mixes the first with the last, but
    those may lie in two processes. The order of a batch is random, so it is as good.
    """
    pairs = torch.arange(len(images), device=images.device).view(-1, 2)
    order = torch.cat([pairs[:, 0], pairs[:, 1].flip(0)])
    floats = images[order].float().div_(255)
    with _numpy_seed(seed):
        floats, targets = mixup(floats, labels[order])
    back = order.argsort()
    return floats[back], targets[back]


@contextmanager
def _numpy_seed(seed: int) -> Iterator[None]:
    """Seed numpy's global generator, which timm draws from, for the block, then restore it."""
    state = np.random.get_state()
    np.random.seed(seed % 2**32)
    try:
        yield
    finally:
        np.random.set_state(state)
