"""Base class of pretrainers: training loop, plan, loader, and preparation of the model."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Any, ClassVar

import torch

from perceptinit.backbones.image_models import ImageModel
from perceptinit.compute import distributed
from perceptinit.compute.optim import choose_precision, find_optimizer_problems, warmup_cosine
from perceptinit.errors import DataError, TrainingError
from perceptinit.images.background import colour_of
from perceptinit.pairs.augment import Augment
from perceptinit.pairs.loader import PairLoader, too_few_pairs
from perceptinit.pairs.order import ONE_GENERATOR, too_many_at_once
from perceptinit.pairs.sizes import describe_files
from perceptinit.pretrainers.objective import Objective
from perceptinit.pretrainers.preparation import (
    check_batch_norm,
    compile_blocks,
    enable_grad_checkpointing,
    insert_patch_dropout,
)
from perceptinit.pretrainers.sharding import TOWERS, copy_sharded, copy_whole
from perceptinit.pretrainers.training import Training
from perceptinit.pretrainers.training_config import TrainingConfig
from perceptinit.protocols import DualEncoder, HasWarnings, Pairs
from perceptinit.seeding import named_torch_seed
from perceptinit.types import RunContext, StagePlan, StepResult


class Pretraining(ABC):
    """Base class of pretrainers. Subclasses define `make_objective`.

    The optimizer is AdamW with a linear warm-up and a cosine decay to the last step. Batches, crops and
    dropout depend only on the seed of the run and the step. All arms therefore see the same batches, and an
    interrupted run resumes exactly.

    Args:
        config: Configuration of the pretraining.
        pairs: Images with captions or labels.

    Attributes:
        parts: Parts of the model to train, evaluate and save: "image", and "text" or "head" (an image
            classifier). Subclasses with other parts may override `model`.
        num_views: Number v of crops of each image; rows v * i to v * i + v - 1 belong to sample i.
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
        """Return the objective, on any device. Called once, before training or resuming.

        Its weights are initialized from torch's global generator, which has the same seed in all arms.
        """

    def model(self, model: DualEncoder, seed: int) -> Any:
        """Return the model of a run, with all `parts`.

        Args:
            model: Model of the backbone.
            seed: Seed for weights outside the backbone.
        """
        return model if "text" in self.parts else ImageModel(model.image)

    def begin(self, model: Any) -> None:  # noqa: B027 (for subclasses)
        """Set initial values, such as the temperature, before the first step. Not called on resume."""

    def change(self, stack: ExitStack, model: Any) -> None:  # noqa: B027 (for subclasses)
        """Change the model for the stage, such as by freezing parameters. Callbacks on `stack` undo it."""

    def samples(self) -> Pairs:
        """Return the training pairs. Subclasses may replace texts with labels."""
        return self.pairs

    def rate(self, step: int) -> float:
        """Return the learning rate of a step (the first is 1): a linear warm-up, then a cosine decay."""
        c = self.config
        return warmup_cosine(step, self.total_steps, self.num_warmup_steps, c.lr, c.min_lr, c.warmup_lr)

    @property
    def steps_per_epoch(self) -> int:
        """Number of complete batches in an epoch."""
        return (self.config.samples_per_epoch or self.pairs.num_pairs) // self.config.batch_size

    @property
    def total_steps(self) -> int:
        """Number of optimizer steps of the whole run."""
        return self.config.steps or self.config.epochs * self.steps_per_epoch

    @property
    def num_warmup_steps(self) -> int:
        """Number of warm-up steps: `warmup_steps`, or a tenth of a run without more steps."""
        total = self.total_steps
        return self.config.warmup_steps if self.config.warmup_steps < total else total // 10

    @property
    def data_sha256(self) -> str:
        """Hash of the keys, token ids and a sample of the pixels of all batches so far."""
        return self._training.data_sha256 if self._training else ""

    def data_files(self) -> dict[str, Any]:
        """Return number, names and sizes of the files of the pairs in brief."""
        return describe_files(self.pairs)

    def preflight(self) -> Iterator[str]:
        """Yield problems, such as too few pairs or a warm-up that is too long."""
        config = self.config
        yield from find_optimizer_problems(config.optimizer, config.sharding)
        try:
            num_pairs = self.pairs.num_pairs
        except DataError:
            return  # the preflight of the pairs reports it
        num_processes = distributed.world_size()
        if config.batch_size % num_processes:
            yield (
                f"batch_size = {config.batch_size} is not a multiple of the number of processes, "
                f"{num_processes}. Change one of them"
            )
        num_blocks = len(self.pairs.block_sizes)
        at_a_time = min(config.shuffle_blocks or num_blocks, num_blocks)
        # no limit for sources that are not read in blocks
        most = getattr(self.pairs, "max_shuffle_blocks", at_a_time)
        if at_a_time > most:
            yield (
                f"shuffle_blocks = {config.shuffle_blocks} shuffles {at_a_time} blocks together, but only "
                f"{most} fit in memory, so almost every pair would read a whole block. Set shuffle_blocks = "
                f"{most}, or increase the memory limit of the pairs"
            )
        if at_a_time == num_blocks and (config.samples_per_epoch or num_pairs) > ONE_GENERATOR:
            yield too_many_at_once(config.samples_per_epoch or num_pairs)
        if not num_pairs or not self.steps_per_epoch:
            yield too_few_pairs(self.config.samples_per_epoch or num_pairs, config.batch_size)

    def warnings(self) -> Iterator[str]:
        """Yield a warning if the warm-up is not shorter than the run."""
        if self.num_warmup_steps != self.config.warmup_steps:
            yield (
                f"warmup_steps = {self.config.warmup_steps} is not less than the {self.total_steps} steps of "
                f"the run. The warm-up has {self.num_warmup_steps} steps, a tenth of the run"
            )

    def plan(self) -> StagePlan:
        """Return the number of steps and samples, with a note on pairs that an epoch omits.

        Raises:
            DataError: If the pairs are missing and their number is not published.
        """
        c = self.config
        try:
            num_pairs = self.pairs.num_pairs
            note = ""
        except DataError:
            published: int | None = getattr(self.pairs, "published_num_pairs", None)
            if published is None:
                raise DataError("the pairs are missing and their published number is unknown") from None
            num_pairs = published
            note = f"{published:,} pairs as published, data missing"
        epoch_pairs = c.samples_per_epoch or num_pairs
        left_over = epoch_pairs % c.batch_size
        if left_over and not note:
            note = f"each epoch omits {left_over:,} of {epoch_pairs:,} pairs"
        num_steps = c.steps or c.epochs * (epoch_pairs // c.batch_size)
        num_samples = num_steps * c.batch_size
        return StagePlan(
            steps=num_steps,
            num_images=num_samples * self.num_views,
            num_texts=num_samples if "text" in self.parts else 0,
            note=note,
        )

    def steps(self, model: Any, ctx: RunContext) -> Iterator[StepResult]:
        """Train from the loaded state, and yield after each optimizer step.

        Args:
            model: Model to train in place.
            ctx: The run.

        Yields:
            Results with the metrics loss, lr and grad_norm (over all parameters, before clipping), the
            metrics of the objective, and num_replaced and num_skipped if they are not 0.

        Raises:
            TrainingError: If the run cannot start, or a loss is not finite.
            DataError: If too many pairs are unusable.
        """
        for problem in self.preflight():
            raise TrainingError(problem)
        for part in (self, self.pairs):
            for warning in part.warnings() if isinstance(part, HasWarnings) else ():
                ctx.warn(warning)  # so that the record contains them
        with ExitStack() as stack:
            training = self._training = self._prepare(stack, model, ctx)
            loader = self._loader(model, ctx)
            batches = loader.batches(training.num_steps, self.total_steps)
            for batch in distributed.together(stack.enter_context(closing(batches))):
                metrics = training.step(batch)
                step = training.num_steps
                yield StepResult(
                    step=step,
                    samples_seen=step * self.config.batch_size,
                    epoch=-(-step // self.steps_per_epoch),
                    end_of_epoch=step % self.steps_per_epoch == 0,
                    metrics=metrics,
                )
            training.finish()
            self._make_whole()

    def _prepare(self, stack: ExitStack, model: Any, ctx: RunContext) -> Training:
        """Return the `Training` of the model or of a sharded copy. `stack` reverts changes to the model."""
        config = self.config
        check_batch_norm(model, config.micro_batch, ctx)
        if self._loaded is None:
            with torch.no_grad():
                self.begin(model)
        self.change(stack, model)
        self._whole = self._trained = model
        names = [name for name in TOWERS if name in self.parts]
        if config.sharding == "fsdp" and distributed.world_size() > 1:
            precision = choose_precision(config.precision, ctx.device)
            self._trained = copy_sharded(model, precision, names)
        towers = {name: getattr(self._trained, name) for name in names}
        if config.compile:
            compile_blocks(stack, towers.values(), config.compile)
        if config.grad_checkpointing:
            enable_grad_checkpointing(stack, towers)
        share = config.patch_dropout
        dropouts = insert_patch_dropout(stack, self._trained, share) if share else []
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
        """Load the weights for evaluation into the model during the block, between two steps.

        All processes must call it.
        """
        assert self._training is not None
        with self._training.use_average():
            self._make_whole()
            yield

    def _make_whole(self) -> None:
        if self._trained is not self._whole:
            copy_whole(self._trained, self._whole)

    def state_dict(self) -> dict[str, Any]:
        """Return the state after the last step, without copying tensors. All processes must call it.

        The model then has the weights of that step.
        """
        if self._training is None:
            raise RuntimeError("there is no state before the first step")
        self._make_whole()
        return self._training.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from `state`. Called before `steps`; the weights of the model are loaded separately."""
        self._loaded = state

    def _loader(self, model: Any, ctx: RunContext) -> PairLoader:
        config = self.config
        has_text = "text" in self.parts
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
                rand_augment=config.rand_augment or 0.0,
                erase_share=config.erase_share or 0.0,
                decoding=config.decode,
                background=colour_of(config.background),
                interpolation=config.interpolation or "bicubic",
            ),
            num_workers=ctx.num_workers if config.num_workers is None else config.num_workers,
            decode_in=config.decode_in,
            shuffle_blocks=config.shuffle_blocks,
            samples_per_epoch=config.samples_per_epoch,
            rank=distributed.rank(),
            world_size=distributed.world_size(),
            num_views=self.num_views,
        )


def _no_ids(texts: Sequence[str]) -> torch.Tensor:
    """Return padding ids (B, 1), for models without a text tower."""
    return torch.zeros(len(texts), 1, dtype=torch.int64)
