"""Stage 1: train the image tower on human similarity judgments (`triplet`, `triplet-hinge`)."""

from __future__ import annotations

# N judgments, U distinct images of a batch
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from perceptinit.components.building import preflight
from perceptinit.configs import PositiveFloat
from perceptinit.errors import DataError, InitializerError, problems_of
from perceptinit.initializers.held_out import EarlyStopping, HeldOut
from perceptinit.initializers.objectives import (
    DEFAULT_TEMPERATURE,
    Loss,
    LossName,
    Objective,
    OddOneOutObjective,
    TripletObjective,
)
from perceptinit.initializers.report import nothing_changed, reporting, weight_changes
from perceptinit.initializers.stage_images import open_images, resident
from perceptinit.initializers.trainable import only_training, trainable_names
from perceptinit.initializers.training_config import TrainingConfig
from perceptinit.initializers.triplet_loss import Distance
from perceptinit.initializers.triplet_training import Curve, TripletTraining, num_distinct
from perceptinit.judgments.ceilings import ceiling_of_split
from perceptinit.judgments.forms.odd_one_out import load_odd_one_out
from perceptinit.protocols import Judgments
from perceptinit.seeding import generator
from perceptinit.types import InitReport, RunContext, StagePlan, Triplets


class Triplet:
    """Trains the tower until its distances agree with people's judgments, by a loss of choice.

    "hinge" wants the chosen image nearer by a margin; "logistic" fits the share of votes, ties
    included; "info-nce" finds the chosen image among all of the batch; "odd-one-out" fits three-way
    choices without an anchor, for judgments that have that form. Where a loss has no use for ties,
    they are dropped from training, counted, and kept in the held-out 2AFC, which is by cosine.
    """

    name = "triplet"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(TrainingConfig):
        loss: LossName = "logistic"
        """What is minimised; see above."""
        distance: Distance = "cosine"
        """Of embeddings: "cosine", or "euclidean" of the embeddings as they are."""
        temperature: PositiveFloat | None = None
        """Distances are divided by it in every loss but the hinge; None is 0.1."""

        def __post_init__(self) -> None:
            TrainingConfig.__post_init__(self)
            if self.loss == "hinge" and self.temperature is not None:
                raise ValueError("temperature has no effect on loss 'hinge'; leave it out")
            if self.loss == "odd-one-out" and self.weighting == "agreement":
                raise ValueError(
                    "weighting 'agreement' is for two sides; 'odd-one-out' takes 'judgments' or 'votes'"
                )

        def smoke(self) -> Self:
            """Return a copy of two epochs; the simulated observers know no odd one out."""
            loss: LossName = "logistic" if self.loss == "odd-one-out" else self.loss
            return replace(TrainingConfig.smoke(self), loss=loss)

    def __init__(self, config: Config, judgments: Judgments) -> None:
        self.config: Any = config
        self.judgments = judgments

    def preflight(self) -> Iterator[str]:
        """Yield what is wrong with the judgments, or with a schedule that does not fit into the run."""
        if not preflight(self.judgments):  # else reported with the place of their own table
            yield from problems_of(self._load)

    def _load(self) -> tuple[Objective, Triplets]:
        """Return the objective and the held-out triplets; raises what makes a run impossible."""
        objective = self._objective()
        held_out = self.judgments.load(self.config.eval_split)
        self._check_schedule(len(objective.columns))
        return objective, held_out

    def warnings(self) -> Iterator[str]:
        """Yield that a batch takes all judgments, so that an epoch is one step."""
        count, batch_size = len(self._objective().columns), self.config.batch_size
        if batch_size > count:
            yield (
                f"batch_size = {batch_size}, but there are only {count} judgments: every epoch is one "
                "step on all of them. Lower batch_size"
            )

    def plan(self) -> StagePlan:
        """Return steps and images; those of an epoch vary a little with the order of judgments.

        While the judgments are absent, as many are counted as their source states, of three images each.
        """
        try:
            objective = self._objective()
        except DataError:
            count = self.judgments.card.num_train
            if count is None:
                raise DataError(
                    "the judgments are not here, and their source does not say how many"
                ) from None
            return StagePlan(
                steps=self.config.num_steps(count),
                num_images=3 * self.config.epochs * count,
                note=f"{count:,} judgments as published, while they are not here",
            )
        c, count, num_ties = self.config, len(objective.columns), objective.num_ties_dropped
        order = generator(0, "plan").permutation(count)
        return StagePlan(
            steps=c.num_steps(count),
            num_images=c.epochs * num_distinct(objective.columns[order], c.batch_size),
            note=f"{count:,} judgments"
            + (f" without {num_ties:,} ties" if num_ties else "")
            + (", may stop early" if c.patience else ""),
        )

    def initialize(self, model: Any, ctx: RunContext) -> InitReport:
        """Train `model` in place; its modes and requires_grad flags are left as they were.

        Raises InitializerError for a frozen model or a schedule longer than the run, TrainingError
        when the loss is not finite, DataError for an image that cannot be decoded.
        """
        c = self.config
        objective, held_out = self._load()
        total_steps = c.num_steps(len(objective.columns))
        names = trainable_names(model, c.train, c.last_blocks)
        if not names:
            raise nothing_changed(self.name, model)
        images, held_out_images = open_images(
            [
                (objective.stimuli, objective.columns),
                (held_out.stimuli, np.stack([held_out.anchor, held_out.first, held_out.second])),
            ],
            model.image_size,
            image_store=c.image_store,
            cache_gib=c.cache_gib,
            ctx=ctx,
            resume=lambda: ctx.event("stage-start", message=self.name, total_steps=total_steps),
        )
        images = resident(images, objective.columns, model.image_size, ctx.device)
        ceiling = ceiling_of_split(self.judgments, c.eval_split, held_out)
        watch = HeldOut(model, held_out, held_out_images, c.eval_split, ceiling, ctx)
        with reporting(self.name, model) as report, only_training(model, names):
            training = TripletTraining(self.name, model, objective, images, c, ctx)
            curve = Curve()
            stopping = EarlyStopping(model, c.patience)
            stage: dict[str, Any] = {"report": report, "training": training, "curve": curve}
            stage |= {"stopping": stopping} if c.patience else {}
            for name, state in (ctx.resumed or {}).items():
                stage[name].resume(state)

            def after_step(step: int) -> None:
                ctx.offer(step, lambda: {name: part.state() for name, part in stage.items()})

            report.metrics.update(self._train(training, watch, curve, stopping, after_step))
            report.metrics.update(triplets=len(objective.columns), ties_dropped=objective.num_ties_dropped)
            report.metrics.update(weight_changes(report.before, model.state_dict()))
        return report.result

    def _train(
        self,
        training: TripletTraining,
        watch: HeldOut,
        curve: Curve,
        stopping: EarlyStopping,
        after_step: Callable[[int], None],
    ) -> dict[str, float]:
        """Run the epochs that are left, or until it is enough, and return the metrics of the report."""
        c, agreement, epochs = self.config, curve.agreement, curve.epochs
        if not agreement:
            agreement[0] = watch.measure(training.step, training.total_steps)
        for epoch in range(training.epoch, c.epochs + 1):
            epochs[epoch] = training.train_epoch(epoch, after_step)
            if epoch == c.epochs or (c.eval_every and epoch % c.eval_every == 0):
                agreement[epoch] = watch.measure(training.step, training.total_steps)
                if stopping.is_enough(epoch, agreement[epoch]):
                    break
        stopping.restore()
        kept = stopping.epoch or epoch
        watch.warn_about(agreement[0], agreement[kept])
        return (
            watch.metrics(agreement, kept)
            | {f"train_loss_epoch_{e:02d}": epochs[e].loss for e in agreement if e not in (0, kept)}
            | {
                "train_loss": epochs[kept].loss,
                "margin_violations": epochs[kept].margin_violations,
                "steps": training.step,
            }
            | ({"kept_epoch": kept, "epochs": epoch} if c.patience else {})
        )

    def _loss(self) -> Loss:
        c = self.config
        temperature = c.temperature or DEFAULT_TEMPERATURE
        return Loss(name=c.loss, margin=c.margin, temperature=temperature, distance=c.distance)

    def _objective(self) -> Objective:
        """Return the training judgments with their loss; InitializerError when they teach nothing."""
        loss, weighting = self._loss(), self.config.weighting
        try:
            if loss.name == "odd-one-out":
                judgments = load_odd_one_out(self.judgments, "train")
                return OddOneOutObjective(judgments, loss, weighting)
            return TripletObjective(self.judgments.load("train"), loss, weighting)
        except InitializerError as error:
            raise InitializerError(f"initializer '{self.name}': {error}") from None

    def _check_schedule(self, num_judgments: int) -> None:
        c = self.config
        total = c.num_steps(num_judgments)
        warmup = c.num_warmup_steps(total)
        if warmup >= total:
            raise InitializerError(
                f"initializer '{self.name}': a warm-up of {warmup} steps does not end within the run of "
                f"{total} steps ({c.epochs} epochs of {num_judgments} judgments); lower warmup_steps or "
                "batch_size"
            )
        if total == 1 and c.min_lr == 0:
            raise InitializerError(
                f"initializer '{self.name}': a run of one step is its own last step, where lr is min_lr = 0; "
                "lower batch_size or raise epochs"
            )


class TripletHinge(Triplet):
    """Perceptual initialization as published: the image people chose is nearer to the anchor by a margin.

    This is `triplet` with the hinge on cosine distances. Judgments where votes are tied have no
    chosen image: they are dropped from training, counted, and kept in the held-out 2AFC.
    """

    name = "triplet-hinge"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(TrainingConfig):
        pass

    def _loss(self) -> Loss:
        return Loss(name="hinge", margin=self.config.margin)
