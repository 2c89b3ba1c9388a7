"""Stage 1: train the image tower on human similarity judgments (`triplet`)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

from torch import Tensor, nn

from perceptinit.components.building import preflight
from perceptinit.compute.optim import find_optimizer_problems
from perceptinit.configs import PositiveFloat
from perceptinit.errors import DataError, InitializerError, problems_of
from perceptinit.initializers.batches import choose_batch_size, describe_waste, num_encoded, suggest_settings
from perceptinit.initializers.frozen_part import encode_frozen_once
from perceptinit.initializers.held_out import HeldOut
from perceptinit.initializers.norms import are_learned
from perceptinit.initializers.objectives import (
    DEFAULT_TEMPERATURE,
    JudgmentObjective,
    Loss,
    LossName,
    OddOneOutObjective,
    TripletConfig,
    TripletObjective,
)
from perceptinit.initializers.stage_images import move_to_gpu, open_images
from perceptinit.initializers.stage_report import find_unseen
from perceptinit.initializers.triplet_loss import Distance
from perceptinit.initializers.triplet_training import TripletTraining
from perceptinit.initializers.weights import (
    Reporter,
    copy_weights,
    no_change_error,
    only_training,
    reporting,
    trainable_names,
    weight_changes,
)
from perceptinit.judgments.baselines import ceiling_of_split
from perceptinit.judgments.controls.wrappers import is_shuffled
from perceptinit.judgments.forms.odd_one_out import load_odd_one_out
from perceptinit.judgments.two_afc import ImageArray
from perceptinit.protocols import Judgments
from perceptinit.types import Fit, InitReport, RunContext, StagePlan, Triplets


@dataclass(eq=False)
class Triplet:
    """Train the tower on human similarity judgments with a choice of loss.

    * "hinge": the image that people chose must be nearer to the anchor by a margin; see `triplet-hinge`.
    * "logistic": fits the share of votes, ties included.
    * "info-nce": identifies the chosen image among all images of the batch.
    * "odd-one-out": fits three-way choices without an anchor; needs odd-one-out judgments.

    "hinge" and "info-nce" drop ties from training. The held-out 2AFC includes ties and always uses cosine
    distances. The report contains 2AFC and embedding spread before and after training, their curve over
    epochs, and the weight change of each block.

    Source: Bradley and Terry 1952 (logistic); van den Oord et al. 2018 (info-nce); Hebart et al. 2020
    (odd-one-out). No effect on pretraining is published for these three.
    """

    name = "triplet"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(TripletConfig):
        loss: LossName = "logistic"
        """Loss to minimize: "hinge", "logistic", "odd-one-out" or "info-nce"."""
        distance: Distance = "cosine"
        """Distance between embeddings: "cosine", or "euclidean" without normalization."""
        temperature: PositiveFloat | None = None
        """Divisor of the distances in all losses except the hinge loss; None for 0.1."""

        def __post_init__(self) -> None:
            TripletConfig.__post_init__(self)
            if self.loss == "hinge" and self.temperature is not None:
                raise ValueError("temperature has no effect on loss 'hinge': remove it")
            if self.loss == "odd-one-out" and self.weighting == "agreement":
                raise ValueError(
                    "loss 'odd-one-out' does not support weighting 'agreement': use 'judgments' or 'votes'"
                )

        def smoke(self) -> Self:
            """Return a copy with two epochs, and with "logistic" instead of "odd-one-out"."""
            loss: LossName = "logistic" if self.loss == "odd-one-out" else self.loss
            return replace(TripletConfig.smoke(self), loss=loss)

    config: Any
    judgments: Judgments
    also_on: Judgments | None = None

    def preflight(self) -> Iterator[str]:
        """Yield problems with the optimizer, the judgments and the learning-rate schedule."""
        yield from find_optimizer_problems(self.config.optimizer)
        if not preflight(self.judgments):  # otherwise the judgments report their own problems
            yield from problems_of(self._load)
        if self.also_on is not None:
            problems = preflight(self.also_on) or problems_of(self.also_on.load, self.config.eval_split)
            yield from (f"also_on: {problem}" for problem in problems)

    def _load(self) -> tuple[JudgmentObjective, Triplets]:
        """Return the objective and the held-out triplets, after checks."""
        objective = self._objective
        held_out = self.judgments.load(self.config.eval_split)
        self._check_schedule(len(objective.columns))
        return objective, held_out

    def suggest(self, model: nn.Module, given: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
        """Return settings that are not `given`, and the kind of the weights: "learned" or "random"."""
        was_learned = are_learned(model.state_dict())
        is_partly_frozen = not all(parameter.requires_grad for parameter in model.parameters())
        columns, epochs = self._objective.columns, self.config.epochs
        settings = suggest_settings(columns, was_learned, is_partly_frozen, given, epochs)
        return settings, "learned" if was_learned else "random"

    def warnings(self) -> Iterator[str]:
        """Yield warnings if a batch is larger than the judgments, or needlessly small for few images."""
        columns = self._objective.columns
        batch_size = self._sized.judgments_per_step
        if batch_size > len(columns):
            yield (
                f"batch_size = {batch_size} is more than the {len(columns)} judgments, so each epoch is one "
                "step. Lower batch_size"
            )
        if waste := describe_waste(columns, batch_size, self.config.epochs):
            yield waste

    @cached_property
    def _sized(self) -> TripletConfig:
        """The config with a numeric batch size."""
        if self.config.batch_size != "auto":
            return self.config
        return replace(self.config, batch_size=choose_batch_size(self._objective.columns))

    def plan(self) -> StagePlan:
        """Return the number of steps and images. The exact number of images depends on the random order.

        If the judgments are missing, the plan uses their published number and three images for each.

        Raises:
            DataError: If the judgments are missing and their number is not published.
        """
        try:
            objective = self._objective
        except DataError:
            count = self.judgments.card.num_train
            if count is None:
                raise DataError("the judgments are missing and their published number is unknown") from None
            if self.config.batch_size == "auto":
                raise DataError('batch_size = "auto" depends on the judgments, which are missing') from None
            return StagePlan(
                steps=self.config.num_steps(count),
                num_images=3 * self.config.epochs * count,
                note=f"{count:,} judgments as published, data missing",
            )
        c = self._sized
        count = len(objective.columns)
        num_ties = objective.num_ties_dropped
        return StagePlan(
            steps=c.num_steps(count),
            num_images=num_encoded(objective.columns, c.judgments_per_step, c.epochs),
            note=f"{count:,} judgments"
            + (f" without {num_ties:,} ties" if num_ties else "")
            + (", may stop early" if c.patience else ""),
        )

    def initialize(self, model: Any, ctx: RunContext) -> InitReport:
        """Train the tower in place. Training modes and `requires_grad` are restored.

        Raises:
            InitializerError: If no parameter is trainable, or the warm-up is longer than the run.
            TrainingError: If a loss is not finite, or the embeddings collapse.
            DataError: If an image cannot be decoded.
        """
        objective, triplets = self._load()
        c = self._sized
        names = trainable_names(model, c.train, c.last_blocks)
        if not names:
            raise no_change_error(self.name, model)
        is_partly_frozen = not all(parameter.requires_grad for parameter in model.parameters())
        images, held_out = self._open(model, objective, triplets, ctx)
        with reporting(self.name, model) as report, only_training(model, names):
            training = TripletTraining(self.name, model, objective, images, c, ctx)
            stage = _Stage(model, c, report, training, held_out, is_shuffled(self.judgments))
            if ctx.resumed:
                stage.resume(ctx.resumed)
            if c.last_blocks or is_partly_frozen:
                encode_frozen_once(model, (training, held_out), c, training.norms, ctx)
            if not ctx.resumed:
                stage.measure(0)
                num_images = num_encoded(objective.columns, c.judgments_per_step, c.epochs)
                training.announce(num_images, held_out.seconds_per_image)
            stage.run()
            report.metrics = {
                **stage.metrics(),
                **training.norms.metrics(),
                "triplets": len(objective.columns),
                "ties_dropped": objective.num_ties_dropped,
                **weight_changes(report.before, model.state_dict()),
            }
        return report.result

    def _open(
        self, model: Any, objective: JudgmentObjective, triplets: Triplets, ctx: RunContext
    ) -> tuple[ImageArray, HeldOut]:
        """Return the images of the training judgments, and the evaluation on held-out and other ones."""
        c = self._sized
        total_steps = c.num_steps(len(objective.columns))
        second = self.also_on.load(c.eval_split) if self.also_on else None
        measured = [triplets, second] if second else [triplets]
        images, held_out_images, *second_images = open_images(
            [(objective.stimuli, objective.columns), *((t.stimuli, t.roles) for t in measured)],
            model.image_size,
            Fit.of(model),
            image_store=c.image_store,
            cache_gib=c.cache_gib,
            ctx=ctx,
            resume=lambda: ctx.event("stage-start", message=self.name, total_steps=total_steps),
        )
        images = move_to_gpu(images, objective.columns, model.image_size, ctx.device)
        ceiling = ceiling_of_split(self.judgments, c.eval_split, triplets)
        unseen = find_unseen(triplets, objective.stimuli, objective.columns)
        held_out = HeldOut(model, triplets, held_out_images, c.eval_split, ceiling, unseen, ctx)
        held_out.second = (second, second_images[0]) if second else None
        return images, held_out

    def _loss(self) -> Loss:
        c = self.config
        temperature = c.temperature or DEFAULT_TEMPERATURE
        return Loss(name=c.loss, margin=c.margin, temperature=temperature, distance=c.distance)

    @cached_property
    def _objective(self) -> JudgmentObjective:
        """The training judgments and their loss; loading or simulating them can take seconds."""
        loss = self._loss()
        weighting = self.config.weighting
        try:
            if loss.name == "odd-one-out":
                return OddOneOutObjective(load_odd_one_out(self.judgments, "train"), loss, weighting)
            return TripletObjective(self.judgments.load("train"), loss, weighting)
        except InitializerError as error:
            raise InitializerError(f"initializer '{self.name}': {error}") from None

    def _check_schedule(self, num_judgments: int) -> None:
        c = self._sized
        total = c.num_steps(num_judgments)
        warmup = c.num_warmup_steps(total)
        if warmup >= total:
            raise InitializerError(
                f"initializer '{self.name}': the warm-up of {warmup} steps must be shorter than the run of "
                f"{total} steps ({c.epochs} epochs of {num_judgments} judgments). Lower warmup_steps or "
                "batch_size"
            )
        if total == 1 and c.min_lr == 0:
            raise InitializerError(
                f"initializer '{self.name}': the run has only one step, and its learning rate is min_lr = 0. "
                "Lower batch_size or increase epochs"
            )


@dataclass(eq=False)
class _Stage:
    """The parts of a stage 1 in progress. `best_weights` are those of `HeldOut.best`, with early stopping."""

    model: nn.Module
    config: TripletConfig
    report: Reporter
    training: TripletTraining
    held_out: HeldOut
    is_shuffled: bool
    best_weights: dict[str, Tensor] = field(default_factory=dict)

    def run(self) -> None:
        """Train until the last epoch or until early stopping, and load the best weights."""
        c = self.config
        for epoch in range(self.training.epoch, c.epochs + 1):
            self.held_out.epochs[epoch] = self.training.train_epoch(epoch, self.state)
            is_due = epoch == c.epochs or (c.eval_every > 0 and epoch % c.eval_every == 0)
            if is_due and self._should_stop(epoch):
                break
        if self.best_weights:
            self.model.load_state_dict(self.best_weights)
        was_learned = are_learned(self.report.before)
        self.held_out.check(self.kept_epoch, self.is_shuffled, bool(c.allow_collapse), was_learned)

    @property
    def kept_epoch(self) -> int:
        """Return the epoch of the weights that the stage keeps."""
        return self.held_out.best if self.config.patience else self.training.epoch

    def metrics(self) -> dict[str, float]:
        """Return the metrics for the report."""
        metrics = self.held_out.metrics(self.kept_epoch) | {"steps": self.training.step}
        if self.config.patience:
            metrics |= {"kept_epoch": self.kept_epoch, "epochs": self.training.epoch}
        return metrics

    def state(self) -> dict[str, Any]:
        """Return the state for `resume`: tensors and plain values."""
        parts = {name: part.state() for name, part in self._parts().items()}
        return {**parts, "stopping": {"weights": self.best_weights}}

    def resume(self, state: Mapping[str, Any]) -> None:
        """Resume from a state that `state` returned."""
        for name, part in self._parts().items():
            part.resume(state[name])
        self.best_weights = dict(state["stopping"]["weights"])

    def _parts(self) -> dict[str, Any]:
        return {"report": self.report, "training": self.training, "curve": self.held_out}

    def _should_stop(self, epoch: int) -> bool:
        """Measure the weights after an epoch, and keep them if they are the best with early stopping."""
        self.measure(epoch)
        if self.config.patience is None:
            return False
        if self.held_out.best == epoch:
            self.best_weights = copy_weights(self.model)
        num_since = sum(measured > self.held_out.best for measured in self.held_out.results)
        return num_since >= self.config.patience

    def measure(self, epoch: int) -> None:
        """Measure the weights after an epoch; 0 is before training."""
        self.held_out.measure(epoch, self.training.step, self.training.total_steps)
