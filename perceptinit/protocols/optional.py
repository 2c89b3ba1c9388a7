"""What a component may give: the core asks for it with isinstance and does without it."""

from __future__ import annotations

# B batch, T tokens, D embedding, H W image
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

if TYPE_CHECKING:
    from perceptinit.protocols.required import DualEncoder, Pretrainer
    from perceptinit.types import (
        Classes,
        DataNeed,
        RunContext,
        Split,
        StagePlan,
        Triplets,
    )


@runtime_checkable
class HasPreflight(Protocol):
    """A component that can say before a run that it would fail."""

    def preflight(self) -> Iterable[str]:
        """Return sentences on what would make it fail later, such as a missing folder; none when it is ready.

        Called before anything starts. What its parts lack, they say themselves.
        """
        ...


@runtime_checkable
class HasWarnings(Protocol):
    """A component that can say before a run what works, but is hardly meant."""

    def warnings(self) -> Iterable[str]:
        """Return sentences, such as on a batch larger than the data; none where all seems meant."""
        ...


@runtime_checkable
class HasPlan(Protocol):
    """A component that knows beforehand how much it will do."""

    def plan(self) -> StagePlan:
        """Return what it will do, for `perceptinit validate` and for progress bars."""
        ...


@runtime_checkable
class HasSmoke(Protocol):
    """A `Config` that can be shrunk for `--smoke`."""

    def smoke(self) -> Self:
        """Return a copy that runs in seconds on a CPU, without files of the user's."""
        ...


@runtime_checkable
class HasStandIn(Protocol):
    """A class that cannot be shrunk, as its work needs files of its own."""

    smoke_stand_in: str
    """Name of the component of its kind, with defaults for all keys, that takes its place in `--smoke`."""


@runtime_checkable
class HasEvaluated(Protocol):
    """A pretrainer whose weights in training are not those to be measured, such as one that averages."""

    def evaluated(self) -> AbstractContextManager[None]:
        """Put the weights to be measured into the model, for the block; afterwards all is as before.

        Entered between two steps. All processes of a run ask.
        """
        ...


@runtime_checkable
class HasModel(Protocol):
    """A pretrainer whose model is another than the backbone's pair of towers, such as one without text."""

    parts: tuple[str, ...]
    """What the model has: "image", and of "text" and "head" (a classifier of images) those it has."""

    def model(self, model: DualEncoder, seed: int) -> Any:
        """Return what a run trains, measures and saves, made of a backbone's model; asked before any stage.

        seed: of the run, for weights of its own.
        """
        ...


@runtime_checkable
class HasNeededPart(Protocol):
    """An evaluator that needs more of a model than its image tower."""

    needed_part: str
    """"text" or "head" (a classifier of images)."""


@runtime_checkable
class HasMisfits(Protocol):
    """An evaluator whose data have to fit what is trained on."""

    def misfits(self, pretrainer: Pretrainer) -> Iterable[str]:
        """Return sentences on what does not fit; asked before anything starts, once all data are there."""
        ...


@runtime_checkable
class HasDataSha256(Protocol):
    """A pretrainer that accounts for its batches, so that records show that arms saw the same."""

    @property
    def data_sha256(self) -> str:
        """Fingerprint of all batches so far, equal for equal batches in equal order."""
        ...


@runtime_checkable
class HasMaxShuffleBlocks(Protocol):
    """Pairs that read whole blocks and hold some of them in memory."""

    @property
    def max_shuffle_blocks(self) -> int:
        """Blocks that may be shuffled into each other before nearly each pair reads a whole block."""
        ...


# a block, and the draws between which it is needed, counted over the whole run: first and last
BlockUse = tuple[int, int, int]
# called with the number of draws that are done, and of those that are done or waited for
Reached = Callable[[int, int], None]


@runtime_checkable
class HasReadAhead(Protocol):
    """Pairs that lie afar, so that their blocks are better fetched before they are needed."""

    def read_ahead(self, uses: Iterable[BlockUse]) -> AbstractContextManager[Reached]:
        """Fetch blocks during the block in the order of `uses`, which is that of their first draws.

        Gives a function that is to be told, batch by batch, how far the draws are.
        """
        ...


@runtime_checkable
class HasPublishedNumPairs(Protocol):
    """Pairs whose number is known from their source, also while they are absent."""

    @property
    def published_num_pairs(self) -> int | None:
        """The number that the source states, None where it is not known; for estimates of cost only."""
        ...


@runtime_checkable
class HasClasses(Protocol):
    """Pairs whose images have a class each."""

    def read_classes(self) -> Classes:
        """Return the class names and the label of each pair.

        Raises DataError when the pairs have none, or a label is out of range.
        """
        ...


@runtime_checkable
class HasNeeds(Protocol):
    """A component that can say which data it needs, so that they are got before a run."""

    def needs(self) -> Iterable[DataNeed]:
        """Return the data that it reads, those that are there included."""
        ...


@runtime_checkable
class HasNoiseCeiling(Protocol):
    """Judgments of several subjects, who can be compared with each other."""

    def noise_ceiling(self, split: Split) -> tuple[float, float] | None:
        """Return the lower and upper noise ceiling of 2AFC on a split, in [0, 1].

        None for one subject, or where nobody's own choices are known.
        """
        ...


@runtime_checkable
class HasPeople(Protocol):
    """Judgments that know who answered what."""

    @property
    def people(self) -> Sequence[str]:
        """Names of all people, in the order of their matrices where there are any."""
        ...

    def load_people(self, split: Split) -> Mapping[str, Triplets]:
        """Return each person's own judgments of a split by name, over the stimuli of `load`."""
        ...


@runtime_checkable
class HasExpect(Protocol):
    """A tracker that tells how far a sweep is."""

    def expect(self, runs: Sequence[tuple[str, int]]) -> None:
        """Take note of arm and seed of every run of the sweep, before the first starts."""
        ...


@runtime_checkable
class HasDescribe(Protocol):
    """A tracker that keeps what a run was made from."""

    def describe(self, ctx: RunContext, text: str, settings: Mapping[str, Any]) -> None:
        """Take the recipe's text and the run's resolved settings; called before `start`."""
        ...


@runtime_checkable
class HasLogImage(Protocol):
    """A tracker that takes pictures."""

    def log_image(self, name: str, path: Path, samples_seen: int) -> None:
        """Take a picture (PNG) of the run that ended last."""
        ...


@runtime_checkable
class HasSay(Protocol):
    """A console that other output must not tear apart."""

    def say(self, text: str) -> None:
        """Print a line, such as a warning of a library in a worker process."""
        ...
