"""What all pretrainers share: the loop, its plan, its loader, and the model prepared for the stage."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Any, ClassVar

import torch

from perceptinit.backbones.image_models import ImageModel
from perceptinit.compute import distributed
from perceptinit.compute.optim import warmup_cosine
from perceptinit.errors import DataError, TrainingError
from perceptinit.images.background import colour_of
from perceptinit.pairs.augment import Augment
from perceptinit.pairs.loader import PairLoader, too_few_pairs
from perceptinit.pairs.order import ONE_GENERATOR, too_many_at_once
from perceptinit.pretrainers.objective import Objective
from perceptinit.pretrainers.preparation import (
    check_batch_norm,
    compile_blocks,
    grad_checkpointing,
    patch_dropout,
)
from perceptinit.pretrainers.sharding import TOWERS, copy_sharded, copy_whole
from perceptinit.pretrainers.training import Training
from perceptinit.pretrainers.training_config import TrainingConfig
from perceptinit.protocols import DualEncoder, HasWarnings, Pairs
from perceptinit.seeding import named_torch_seed
from perceptinit.types import RunContext, StagePlan, StepResult


class Pretraining(ABC):
    """Trains a model for an objective; a child gives `make_objective`.

    AdamW with a linear warm-up and a cosine that ends at the last step; both count optimiser steps.
    Batches, crops and dropout depend on the run's seed and the step alone, so arms see the same
    batches and an interrupted run goes on exactly. `data_sha256` is a fingerprint of the batches so
    far: keys, token ids, and a sample of the pixels.

    parts: of the model that is trained, evaluated and saved: "image", and of "text" and "head" (a classifier)
    those it has; another than both towers is made in `model`.
    num_views: crops of each image in a batch, one after another: rows v * i to v * i + v - 1 are of sample i.
    """

    parts: ClassVar[tuple[str, ...]] = ("image", "text")
    num_views: ClassVar[int] = 1

    def __init__(self, config: Any, pairs: Pairs) -> None:
        self.config: TrainingConfig = config
        self.pairs = pairs
        self._loaded: Mapping[str, Any] | None = None
        self._training: Training | None = None
        self._whole: Any = None
        self._trained: Any = None

    @abstractmethod
    def make_objective(self, model: Any) -> Objective:
        """Return what is trained for, on any device; called once, before the first step or a loaded one.

        Weights of its own follow torch's global generator, which is seeded: they are the same in all arms.
        """

    def model(self, model: DualEncoder, seed: int) -> Any:
        """Return the model of a run, with the `parts`, made of a backbone's; seed: for weights of its own."""
        return model if "text" in self.parts else ImageModel(model.image)

    def begin(self, model: Any) -> None:  # noqa: B027 (for children)
        """Set what the first step starts from, such as the temperature; not called when a run continues."""

    def change(self, stack: ExitStack, model: Any) -> None:  # noqa: B027 (for children)
        """Change the model for the stage, such as what of it is trained; `stack` undoes it afterwards."""

    def samples(self) -> Pairs:
        """Return the pairs that batches are made of, such as with labels in the place of texts."""
        return self.pairs

    def rate(self, step: int) -> float:
        """Return the learning rate of optimiser step 1, 2, ...: a linear warm-up, then a cosine."""
        c, total = self.config, self.total_steps
        return warmup_cosine(step, total, c.warmup_steps, c.lr, c.min_lr, c.warmup_lr)

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in the pairs of an epoch."""
        return self._epoch_pairs // self.config.batch_size

    @property
    def _epoch_pairs(self) -> int:
        return self.config.samples_per_epoch or self.pairs.num_pairs

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole run."""
        return self.config.steps or self.config.epochs * self.steps_per_epoch

    @property
    def data_sha256(self) -> str:
        """Fingerprint of all batches so far, equal for equal batches in equal order."""
        return self._training.data_sha256 if self._training else ""

    def preflight(self) -> Iterator[str]:
        """Yield why it could not train, such as too few pairs, or a warm-up that does not end."""
        config = self.config
        try:
            num_pairs = self.pairs.num_pairs
        except DataError:
            return  # what the pairs lack, their own preflight tells
        num_processes = distributed.world_size()
        if config.batch_size % num_processes:
            yield (
                f"batch_size = {config.batch_size} cannot be shared by {num_processes} processes: "
                "choose a multiple, or another number of processes"
            )
        num_blocks = len(self.pairs.block_sizes)
        at_a_time = min(config.shuffle_blocks or num_blocks, num_blocks)
        # sources that are read pair by pair have no limit
        most = getattr(self.pairs, "max_shuffle_blocks", at_a_time)
        if at_a_time > most:
            yield (
                f"shuffle_blocks = {config.shuffle_blocks} draws from {at_a_time} blocks at a time, but the "
                f"pairs hold {most} in memory, so that nearly each pair would read a whole block. Set "
                f"shuffle_blocks = {most}, or let the pairs hold more"
            )
        if at_a_time == num_blocks and (config.samples_per_epoch or num_pairs) > ONE_GENERATOR:
            yield too_many_at_once(config.samples_per_epoch or num_pairs)
        if not num_pairs or not self.steps_per_epoch:
            yield too_few_pairs(self.config.samples_per_epoch or num_pairs, config.batch_size)
        elif config.warmup_steps >= self.total_steps:
            yield (
                f"warmup_steps = {config.warmup_steps} in a run of {self.total_steps} steps "
                f"({self.total_steps / self.steps_per_epoch:g} epochs of {self.steps_per_epoch} batches): "
                "the learning rate would never come down. Lower warmup_steps"
            )

    def plan(self) -> StagePlan:
        """Return steps and samples; the note tells how many pairs each epoch leaves out."""
        try:
            num_pairs = self._epoch_pairs
        except DataError:
            published = getattr(self.pairs, "published_num_pairs", None)
            if published is None:
                raise DataError("the pairs are not here, and how many there will be is not known") from None
            in_epoch = (self.config.samples_per_epoch or published) // self.config.batch_size
            steps = self.config.steps or self.config.epochs * in_epoch
            note = f"{published:,} pairs as published, while they are not here"
            return self._stage_plan(steps, note)
        left_over = num_pairs - self.steps_per_epoch * self.config.batch_size
        note = f"each epoch leaves out {left_over:,} of {num_pairs:,} pairs" if left_over else ""
        return self._stage_plan(self.total_steps, note)

    def _stage_plan(self, steps: int, note: str) -> StagePlan:
        used = steps * self.config.batch_size
        num_texts = used if "text" in self.parts else 0
        num_images = used * self.num_views
        return StagePlan(steps=steps, num_images=num_images, num_texts=num_texts, note=note)

    def steps(self, model: Any, ctx: RunContext) -> Iterator[StepResult]:
        """Train, one optimiser step per item, from the loaded state on.

        Metrics: loss, lr, grad_norm (over all parameters, before clipping), what the objective adds, and
        num_replaced once a pair could not be used.

        Raises TrainingError when the loss is not finite, DataError when too many pairs are unusable.
        """
        for problem in self.preflight():
            raise TrainingError(problem)
        if isinstance(self.pairs, HasWarnings):  # so that they stand in the record
            for warning in self.pairs.warnings():
                ctx.warn(warning)
        with ExitStack() as stack:
            training = self._training = self._prepare(stack, model, ctx)
            loader = self._loader(model, ctx)
            batches = loader.batches(training.num_steps, self.total_steps)
            for batch in distributed.together(stack.enter_context(closing(batches))):
                yield self._result(training.step(batch), training.num_steps)
            training.finish()
            self._make_whole()

    def _prepare(self, stack: ExitStack, model: Any, ctx: RunContext) -> Training:
        """Return the training of this model, or of a sharded copy; `stack` undoes what was changed."""
        config = self.config
        check_batch_norm(model, config.micro_batch, ctx)
        if self._loaded is None:
            with torch.no_grad():
                self.begin(model)
        self.change(stack, model)
        self._whole = self._trained = model
        names = [name for name in TOWERS if name in self.parts]
        if config.sharding == "fsdp" and distributed.world_size() > 1:
            self._trained = copy_sharded(model, config.precision, names)
        towers = {name: getattr(self._trained, name) for name in names}
        stack.enter_context(compile_blocks(towers.values(), config.compile))
        stack.enter_context(grad_checkpointing(towers, config.grad_checkpointing))
        dropouts = stack.enter_context(patch_dropout(self._trained, config.patch_dropout))
        with named_torch_seed(ctx.seed, ctx.stage, "objective"):
            objective = self.make_objective(model)
        training = Training(
            config,
            self._trained,
            ctx,
            objective,
            names,
            self.pairs.num_pairs,
            self.total_steps,
            self.rate,
            dropouts,
        )
        if self._loaded is not None:
            training.load_state_dict(self._loaded)
        return training

    @contextmanager
    def evaluated(self) -> Iterator[None]:
        """Give the model, for the block, the weights that are to be measured; all processes have to ask."""
        if self._training is None:
            yield
            return
        with self._training.use_average():
            self._make_whole()
            yield

    def _make_whole(self) -> None:
        if self._trained is not self._whole:
            copy_whole(self._trained, self._whole)

    def state_dict(self) -> dict[str, Any]:
        """Return all that is needed to continue after the last step; tensors are not copied.

        The model holds the weights of that step afterwards. All processes have to ask.
        """
        if self._training is None:
            raise RuntimeError("no step has been done: there is no state yet")
        self._make_whole()
        return self._training.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`; called before `steps`, which takes the model's weights as they are."""
        self._loaded = state

    def _loader(self, model: Any, ctx: RunContext) -> PairLoader:
        config, has_text = self.config, "text" in self.parts
        return PairLoader(
            self.samples(),
            batch_size=config.batch_size,
            image_size=model.image_size,
            tokenize=model.tokenize if has_text else _no_ids,
            context_length=model.context_length if has_text else 1,
            ctx=ctx,
            augment=Augment(
                crop=config.crop,
                scale=config.crop_scale,
                ratio=config.crop_ratio,
                flip=config.flip,
                jitter=config.jitter,
                grey_share=config.grey_share,
                blur_share=config.blur_share,
                decoding=config.decode,
                background=colour_of(config.background),
                interpolation=config.interpolation or "bicubic",
            ),
            num_workers=ctx.num_workers if config.num_workers is None else config.num_workers,
            shuffle_blocks=config.shuffle_blocks,
            samples_per_epoch=config.samples_per_epoch,
            rank=distributed.rank(),
            world_size=distributed.world_size(),
            num_views=self.num_views,
        )

    def _result(self, metrics: Mapping[str, Any], step: int) -> StepResult:
        return StepResult(
            step=step,
            samples_seen=step * self.config.batch_size,
            epoch=-(-step // self.steps_per_epoch),
            end_of_epoch=step % self.steps_per_epoch == 0,
            metrics=metrics,
        )


def _no_ids(texts: Sequence[str]) -> torch.Tensor:
    """Return padding alone (B, 1): the texts are not looked at."""
    return torch.zeros(len(texts), 1, dtype=torch.int64)
