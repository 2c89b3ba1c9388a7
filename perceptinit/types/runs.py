"""The run context that components receive, and the results that they return."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from perceptinit.errors import printable
from perceptinit.seeding import derive_seed, generator


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePlan:
    """The planned work of a stage. A count is None if it depends on missing data.

    Args:
        steps: Number of steps.
        num_images: Total number of images in forward and backward passes.
        num_texts: Total number of texts in forward and backward passes.
        note: Note that `perceptinit validate` prints.
    """

    steps: int | None = None
    num_images: int | None = None
    num_texts: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class InitReport:
    """The result of an initializer.

    Args:
        name: Name of the initializer.
        changed: Names of the parameters and buffers that changed.
        sha256_before: Hash of the image tower's weights before initialization.
        sha256_after: Hash of the weights after initialization.
        metrics: Metrics by name, such as `2afc_val_before`.
        seconds: Duration of the initialization.
    """

    name: str
    changed: tuple[str, ...]
    sha256_before: str
    sha256_after: str
    metrics: Mapping[str, float]
    seconds: float

    def __str__(self) -> str:
        """Return a summary in up to six lines: changed tensors, gains in 2AFC, and distances."""
        return describe_stage(self.name, len(self.changed), self.metrics)


def describe_stage(name: str, num_changed: int, metrics: Mapping[str, float]) -> str:
    """Return the summary of an `InitReport` from its name, the number of changed tensors, and its metrics."""
    changed = f"{num_changed} tensors changed"
    if {"unseen_2afc_before", "known_2afc_before", "unseen_images_gain"} & metrics.keys():
        return "\n".join([f"{name}: {changed}{_describe_training(metrics)}", *_describe_stage_one(metrics)])
    names = [key.removesuffix("_before") for key in metrics if key.startswith("2afc_")]
    texts = [
        _describe_gain(metrics, name, f"{name.removeprefix('2afc_')} judgments")
        for name in names
        if _is_known(metrics, name)
    ]
    return f"{name}: {'; '.join([*texts, changed])}"


def _describe_training(metrics: Mapping[str, float]) -> str:
    kept = ", epoch {kept_epoch:.0f} of {epochs:.0f} was best and kept" if "kept_epoch" in metrics else ""
    norms = "; {norm_layers_frozen:.0f} of {norm_layers:.0f} layers kept their running statistics"
    return (kept + (norms if "norm_layers" in metrics else "")).format_map(metrics)


def _describe_stage_one(metrics: Mapping[str, float]) -> Iterator[str]:
    sets = {
        "unseen_2afc": "judgments without training images",
        "known_2afc": "held-out judgments with training images",
        "also_on_2afc": "judgments of also_on",
    }
    if "unseen_2afc_before" not in metrics and "unseen_images_gain" in metrics:
        gain = metrics["unseen_images_gain"]
        yield f"2AFC on images without a part in the fit, by cross-validation: gain {gain:+.3f}"
    elif "unseen_2afc_before" not in metrics:
        yield "Every held-out judgment has a training image: the gain on other images was not measured"
    for name, title in sets.items():
        if _is_known(metrics, name):
            yield _describe_gain(metrics, name, title)
    for name, value in metrics.items():
        if name.startswith("trivial_2afc/"):
            yield f"best trivial model on held-out judgments: {name.partition('/')[2]}, {value:.3f}"
    if _is_known(metrics, "spread"):
        distances = "mean cosine distance of two images: {spread_before:.2g} -> {spread_after:.2g}"
        yield distances.format_map(metrics)


def _is_known(metrics: Mapping[str, float], name: str) -> bool:
    """Return whether a metric was measured before and after a stage; records contain no NaN."""
    return f"{name}_before" in metrics and f"{name}_after" in metrics


def _describe_gain(metrics: Mapping[str, float], name: str, title: str) -> str:
    before = metrics[f"{name}_before"]
    after = metrics[f"{name}_after"]
    gain = after - before
    stderr = metrics.get(f"{name}_gain_stderr")
    count = metrics.get(f"{name}_judgments")
    judgments = title if count is None else f"{count:,.0f} {title}"
    text = f"2AFC on {judgments} (chance 0.5) {before:.3f} -> {after:.3f}, gain {gain:+.3f}"
    units = metrics.get(f"{name}_units")
    if stderr is None:
        return text if units is None else f"{text}, too few images for an interval"
    from scipy.special import stdtrit  # scipy.stats takes half a second to import

    half = float(stdtrit(math.inf if units is None else units - 1, 0.975)) * stderr
    return f"{text}, 95 % interval [{gain - half:+.3f}, {gain + half:+.3f}]"


@dataclass(frozen=True, slots=True, eq=False)
class Items:
    """The per-item values that a score averages.

    Args:
        values: Value of each item (image or judgment), shape (N,). The score is their weighted mean.
        images: Integer ids of the images of each item, shape (N, R). R is 1 for a test set.
        weights: Weight of each item, shape (N,), or None for equal weights.
        baselines: Values of trivial models on the same items, shape (N,), by model name.
        people: Integer id of the person of each item, shape (N,), or None if the source does not name people.
    """

    values: np.ndarray
    images: np.ndarray
    weights: np.ndarray | None = None
    baselines: Mapping[str, np.ndarray] = field(default_factory=dict)
    people: np.ndarray | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A measured value and its context.

    Args:
        name: `measure/set`, such as `top1/cifar10`.
        value: The score.
        higher_is_better: Whether larger values are better.
        num_examples: Number of images, judgments or captions that the score averages.
        stderr: Standard error over the examples, or None if not available.
        chance: Score of random guessing, or None.
        unit: What `num_examples` counts: "images", "judgments" or "captions". Empty for the usual unit of a
            built-in measure.
        ceiling: Human ceiling: how well the votes of all people predict one person. None if unknown.
        lower_ceiling: Lower bound of the ceiling, from the votes of the other people only.
        extra: Details for the record, such as per-class accuracies, which tables do not show.
        items: Per-item values, for intervals over images. None if the score is not a mean over items.
        choices: Column of the image that the model chooses in each judgment of three images, int8 (N,); -1
            for a tie. They are not recorded.
        pseudo_items: Jackknife pseudo-values of a score that is not a mean over items, for intervals in
            `perceptinit eval`. They are not recorded.
    """

    name: str
    value: float
    higher_is_better: bool = True
    num_examples: int = 0
    unit: str = ""
    stderr: float | None = None
    chance: float | None = None
    ceiling: float | None = None
    lower_ceiling: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    items: Items | None = field(default=None, compare=False, repr=False)
    pseudo_items: Items | None = field(default=None, compare=False, repr=False)
    choices: np.ndarray | None = field(default=None, compare=False, repr=False)

    def without_arrays(self) -> Self:
        """Return the score without values of items and choices, for events and records, which are JSON."""
        return replace(self, items=None, pseudo_items=None, choices=None)

    @property
    def missing(self) -> str:
        """Return why a score on judgments has no standard error; empty for other scores."""
        is_few = self.stderr is None and "num_units" in self.extra
        return f"too few {self.extra['held_out']}s for an interval" if is_few else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """One optimizer step of a pretrainer.

    Args:
        step: Number of finished steps, from 1.
        samples_seen: Number of pairs seen so far, summed over processes.
        epoch: Current epoch, from 1.
        end_of_epoch: Whether this step is the last one of the epoch.
        metrics: Scalars by name. 0-d tensors are copied to the host only when they are logged.
    """

    step: int
    samples_seen: int
    epoch: int
    end_of_epoch: bool
    metrics: Mapping[str, Any]


EventKind = Literal["run-start", "stage-start", "step", "scores", "stage-end", "warning", "notice", "run-end"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event of a run. Trackers receive events in order.

    Args:
        kind: Kind of the event.
        arm: Arm of the run.
        seed: Seed of the run.
        stage: Stage, such as `pretrain`.
        step: Step of the stage.
        total_steps: Number of steps of the stage.
        samples_seen: Number of pairs that the pretrainer has seen.
        metrics: Metrics by name.
        scores: Scores of an evaluation.
        message: Message for the user.
        time: Seconds since 1970-01-01 UTC.
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
    """Ignore an event (the default of `RunContext.send`)."""


State = Mapping[str, Any]


def keep_nothing(step: int, state: Callable[[], State]) -> None:
    """Discard the state (the default of `RunContext.offer`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """The context that a run passes to its components.

    Args:
        seed: Seed of the run. Use `rng` or `seed_for` instead of a global generator.
        arm: Arm of the run.
        stage: Stage, such as `init.0`, `pretrain`, `posthoc.0` or `eval.0`. Seeds depend on it.
        device: A torch device.
        folder: Output folder of the stage, or None if the stage must not write files.
        samples_seen: Number of pretraining pairs seen before an evaluation.
        num_workers: Number of image decoding threads.
        send: Receives the events of the stage.
        resumed: State to resume from, as passed to `offer`. None at the start of a stage.
        offer: Call `offer(step, state)` after each step, in all processes. If a checkpoint is due, the run
            saves `state()` (tensors and plain values) and the model's weights. The run stops here if a
            stop was requested. A stage that calls `offer` must resume from `resumed` exactly.
        new_model: Builds the run's backbone, randomly initialized with the given seed. None without a
            backbone, as in a library call.
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
    new_model: Callable[[int], Any] | None = None

    def rng(self, *names: str | int) -> np.random.Generator:
        """Return a random generator that is seeded by run, stage and `names`."""
        return generator(self.seed, self.stage, *names)

    def seed_for(self, *names: str | int) -> int:
        """Return an integer seed that is derived from run, stage and `names`."""
        return derive_seed(self.seed, self.stage, *names)

    def event(self, kind: EventKind, **values: Any) -> None:
        """Send an event to the trackers, with control characters in its message escaped."""
        values["message"] = printable(values.get("message", ""))
        self.send(Event(kind=kind, arm=self.arm, seed=self.seed, stage=self.stage, **values))

    def warn(self, message: str) -> None:
        """Show a warning to the user and save it in the record."""
        self.event("warning", message=message)

    def progress(self, step: int, total_steps: int, **metrics: float) -> None:
        """Report the progress of the stage."""
        self.event("step", step=step, total_steps=total_steps, metrics=metrics)
