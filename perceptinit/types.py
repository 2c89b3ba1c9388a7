"""The data that passes between components: frozen, numpy only (tensors stay inside components)."""

from __future__ import annotations

# N triplets, M stimuli, H W image
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from perceptinit.errors import DataError, printable
from perceptinit.seeding import derive_seed, generator

# An image before it is decoded: a file, the bytes of a file, or pixels (H, W, 3) uint8.
ImageSource = Path | bytes | np.ndarray
# what files of images end with, in lower case
IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"))
Split = Literal["train", "val", "test"]
# for measures that train nothing
MeasuredSplit = Split | Literal["all"]
# what is held out as a whole, and so what intervals resample: anchors, groups, or single images in any role
Unit = Literal["anchor", "group", "image"]
# red, green and blue, 0 to 255 each
Colour = tuple[int, int, int]
WHITE: Colour = (255, 255, 255)


@dataclass(frozen=True, slots=True)
class Stimuli:
    """The images that people judged.

    ids: M names that are unique, in the order that index arrays refer to.
    images: M image sources; may be lazy (any sequence), so that images can be made on the fly.
    concepts: M object or category names, or empty when there are none.
    background: what is put behind the transparent parts of images.
    """

    ids: tuple[str, ...]
    images: Sequence[ImageSource]
    concepts: tuple[str, ...] = ()
    background: Colour = WHITE

    def __post_init__(self) -> None:
        if len(self.images) != len(self.ids):
            raise DataError(f"{len(self.ids)} stimulus ids but {len(self.images)} images")
        if self.concepts and len(self.concepts) != len(self.ids):
            raise DataError(f"{len(self.ids)} stimulus ids but {len(self.concepts)} concepts")
        if len(set(self.ids)) != len(self.ids):
            raise DataError("stimulus ids are not unique")

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True, eq=False)
class Triplets:
    """Similarity judgments: which of two images looks more like the anchor?

    stimuli: the M images.
    anchor, first, second: int64 (N,), indices into stimuli.
    p_second: float32 (N,) in [0, 1], share of people who found `second` closer to the anchor.
    num_votes: int32 (N,), how many people judged; at least 1.
    group: int64 (N,), what must not cross splits, such as the anchor image; a number means the same in
    each split of a data set.
    unit: what was held out as a whole; judgments that share one are dependent.
    """

    stimuli: Stimuli
    anchor: np.ndarray
    first: np.ndarray
    second: np.ndarray
    p_second: np.ndarray
    num_votes: np.ndarray
    group: np.ndarray
    unit: Unit = "anchor"

    @classmethod
    def build(
        cls,
        stimuli: Stimuli,
        anchor: Sequence[int] | np.ndarray,
        first: Sequence[int] | np.ndarray,
        second: Sequence[int] | np.ndarray,
        p_second: Sequence[float] | np.ndarray,
        num_votes: Sequence[int] | np.ndarray | int = 1,
        group: Sequence[int] | np.ndarray | None = None,
        unit: Unit = "anchor",
    ) -> Triplets:
        """Return checked triplets in the canonical dtypes; the group is the anchor unless given."""
        anchor = np.asarray(anchor, dtype=np.int64)
        votes = np.broadcast_to(np.asarray(num_votes, dtype=np.int32), anchor.shape)
        triplets = cls(
            stimuli,
            anchor,
            np.asarray(first, dtype=np.int64),
            np.asarray(second, dtype=np.int64),
            np.asarray(p_second, dtype=np.float32),
            votes.copy(),
            anchor.copy() if group is None else np.asarray(group, dtype=np.int64),
            unit,
        )
        triplets.check()
        return triplets

    def __len__(self) -> int:
        return len(self.anchor)

    def select(self, mask: np.ndarray) -> Triplets:
        """Return the rows of a boolean mask or an index array, over the same stimuli."""
        rows = ("anchor", "first", "second", "p_second", "num_votes", "group")
        return replace(self, **{name: getattr(self, name)[mask] for name in rows})

    def over(self, stimuli: Stimuli) -> Triplets:
        """Return the same judgments with indices into other stimuli, which hold all of their images by id."""
        place = {name: i for i, name in enumerate(stimuli.ids)}
        moved = np.array([place.get(name, -1) for name in self.stimuli.ids], dtype=np.int64)
        roles = {n: moved[getattr(self, n)] for n in ("anchor", "first", "second")}
        triplets = replace(self, stimuli=stimuli, **roles)
        triplets.check()
        return triplets

    def check(self) -> None:
        """Raise DataError naming the first row that is not a judgment."""
        lengths = {
            len(getattr(self, n)) for n in ("first", "second", "p_second", "num_votes", "group")
        }
        if lengths != {len(self)}:
            raise DataError(f"triplet columns differ in length: {sorted(lengths | {len(self)})}")
        for name in ("anchor", "first", "second"):
            column = getattr(self, name)
            _raise_first(
                (column < 0) | (column >= len(self.stimuli)),
                f"{name} is not one of the {len(self.stimuli)} stimuli",
            )
        _raise_first(~((self.p_second >= 0) & (self.p_second <= 1)), "p_second is not in [0, 1]")
        _raise_first(self.num_votes < 1, "num_votes is below 1")
        same = (
            (self.anchor == self.first) | (self.anchor == self.second) | (self.first == self.second)
        )
        _raise_first(same, "the same image stands twice in one triplet")

    @property
    def roles(self) -> np.ndarray:
        """Return anchor, first and second, int64 (3, N)."""
        return np.stack([self.anchor, self.first, self.second])

    @property
    def used_names(self) -> list[str]:
        """Return the names of the stimuli that occur in any role."""
        return [self.stimuli.ids[i] for i in np.unique(self.roles)]


def _raise_first(bad: np.ndarray, what: str) -> None:
    if bad.any():
        raise DataError(f"triplet {int(np.argmax(bad))}: {what} ({int(bad.sum())} such rows)")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataCard:
    """What a data set is: shown by `perceptinit show judgments NAME` and put into reports.

    num_judgments: judgments of the whole published set, None when unknown; num_train: triplets of its
    training split, None when unknown.
    ceiling: published human ceiling in the set's own measure, None when unknown.
    sha256: file name -> checksum, for the files that the source or we publish sums of; downloads are
    checked against them.
    size_bytes: of the unpacked data, None when unknown.
    checked: what the loader was checked against, such as a published score.
    by_people: False where a program gives the answers, as from pixels or class labels; simulated
    observers stand for people.
    """

    title: str
    source_url: str
    licence: str
    citation: str
    num_judgments: int | None = None
    ceiling: float | None = None
    sha256: Mapping[str, str] = field(default_factory=dict)
    size_bytes: int | None = None
    checked: str = ""
    simulated: bool = False
    by_people: bool = True
    num_train: int | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """One image with its caption.

    key: names the sample in messages, such as `00012.tar/000123`.
    text: the caption, or its token ids int64 (T,) when the source stores those.
    """

    key: str
    image: ImageSource
    text: str | np.ndarray


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
        """Send an event of this arm, seed and stage to the trackers; control characters in it are spelt out."""
        values["message"] = printable(values.get("message", ""))
        self.send(Event(kind=kind, arm=self.arm, seed=self.seed, stage=self.stage, **values))

    def warn(self, message: str) -> None:
        """Tell the user something that does not stop the run; it is also kept in the record."""
        self.event("warning", message=message)

    def progress(self, step: int, total_steps: int, **metrics: float) -> None:
        """Report progress of the stage."""
        self.event("step", step=step, total_steps=total_steps, metrics=metrics)
