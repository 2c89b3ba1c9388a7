"""What components may know about a run, and what they say of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from perceptinit.errors import printable
from perceptinit.seeding import derive_seed, generator


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePlan:
    """What a stage will do, known before it starts; None where it depends on absent data.

    num_images, num_texts: how many go through the towers, forward and backward, in the stage.
    """

    steps: int | None = None
    num_images: int | None = None
    num_texts: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class InitReport:
    """What an initializer did.

    changed: names of the parameters and buffers whose values differ afterwards.
    sha256_before, sha256_after: hashes of the image tower's weights (`checkpoints.weights_sha256`).
    metrics: numbers by name, such as `2afc_val_before`.
    """

    name: str
    changed: tuple[str, ...]
    sha256_before: str
    sha256_after: str
    metrics: Mapping[str, float]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One measured number with what is needed to read it.

    name: `measure/set`, such as `top1/cifar10`.
    num_examples: how many images, judgments or captions the value is a mean over.
    stderr: standard error over those examples, None when it cannot be had.
    chance: the value of guessing.
    ceiling, lower_ceiling: how well people predict one of them, from the votes of all and of the others;
    None where it is unknown.
    extra: what belongs in the record and not in a table, such as per-class accuracies.
    """

    name: str
    value: float
    higher_is_better: bool = True
    num_examples: int = 0
    stderr: float | None = None
    chance: float | None = None
    ceiling: float | None = None
    lower_ceiling: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """One optimiser step of a pretrainer.

    step: steps done, from 1. samples_seen: pairs used so far, whatever the number of processes.
    epoch: epochs done or begun, from 1; end_of_epoch: this step completed one.
    metrics: scalars by name; 0-d tensors are allowed and are fetched only when logged.
    """

    step: int
    samples_seen: int
    epoch: int
    end_of_epoch: bool
    metrics: Mapping[str, Any]


EventKind = Literal["run-start", "stage-start", "step", "scores", "stage-end", "warning", "run-end"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened in a run; trackers receive these in order.

    step, total_steps: of the stage. samples_seen: pairs the pretrainer has used.
    time: seconds since the epoch.
    """

    kind: EventKind
    arm: str = ""
    seed: int = 0
    stage: str = ""
    step: int | None = None
    total_steps: int | None = None
    samples_seen: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    scores: tuple[Score, ...] = ()
    message: str = ""
    time: float = field(default_factory=time.time)


def ignore_event(event: Event) -> None:
    """Do nothing with an event (the default of `RunContext.send`)."""


State = Mapping[str, Any]


def keep_nothing(step: int, state: Callable[[], State]) -> None:
    """Keep no state (the default of `RunContext.offer`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """What a component may know about the run it works for.

    seed: the run's seed; draw with `rng` or `seed_for`, never from a global generator.
    stage: `init.0`, `pretrain`, `posthoc.0`, `eval.0`; part of the name of every draw.
    device: a torch device string.
    folder: where the stage may leave files of its own, None when nothing is to be written.
    samples_seen: pairs that pretraining had used when an evaluator is called.
    resumed: the state that this stage offered before it was interrupted, None at its start.
    offer: `offer(step, state)` after a step lets the run keep what `state()` gives (tensors and plain
    values; the model's weights are kept besides) when a checkpoint is due, and stop if it was asked
    to. Who offers continues from `resumed` as if nothing had happened; all processes have to ask.
    """

    seed: int = 0
    arm: str = ""
    stage: str = ""
    device: str = "cpu"
    folder: Path | None = None
    samples_seen: int = 0
    num_workers: int = 2
    send: Callable[[Event], None] = ignore_event
    resumed: State | None = None
    offer: Callable[[int, Callable[[], State]], None] = keep_nothing

    def rng(self, *names: str | int) -> np.random.Generator:
        """Return a generator for the named draws of this stage."""
        return generator(self.seed, self.stage, *names)

    def seed_for(self, *names: str | int) -> int:
        """Return an integer seed for the named draws of this stage."""
        return derive_seed(self.seed, self.stage, *names)

    def event(self, kind: EventKind, **values: Any) -> None:
        """Send an event of this arm, seed and stage to the trackers, with control characters escaped."""
        values["message"] = printable(values.get("message", ""))
        self.send(Event(kind=kind, arm=self.arm, seed=self.seed, stage=self.stage, **values))

    def warn(self, message: str) -> None:
        """Tell the user something that does not stop the run; it is also kept in the record."""
        self.event("warning", message=message)

    def progress(self, step: int, total_steps: int, **metrics: float) -> None:
        """Report progress of the stage."""
        self.event("step", step=step, total_steps=total_steps, metrics=metrics)
