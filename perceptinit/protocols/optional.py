"""Optional members of a component. The core tests for each with isinstance."""

from __future__ import annotations

# B batch, T tokens, D embedding, H W image
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

if TYPE_CHECKING:
    from perceptinit.protocols.required import DualEncoder, Pretrainer
    from perceptinit.types import Classes, DataNeed, RunContext, Split, StagePlan, Triplets


@runtime_checkable
class HasPreflight(Protocol):
    """A component that detects problems before a run starts."""

    def preflight(self) -> Iterable[str]:
        """Return one sentence for each problem, such as a missing folder; empty when it is ready.

        Called before anything starts. Nested components report their own problems.
        """


@runtime_checkable
class HasWarnings(Protocol):
    """A component that warns about valid but unusual settings before a run starts."""

    def warnings(self) -> Iterable[str]:
        """Return one sentence for each warning, such as a batch larger than the data."""


@runtime_checkable
class HasPlan(Protocol):
    """A component that can predict its amount of work."""

    def plan(self) -> StagePlan:
        """Return the number of steps and images, for `perceptinit validate` and progress bars."""


@runtime_checkable
class HasSmoke(Protocol):
    """A `Config` with a small version for `--smoke`."""

    def smoke(self) -> Self:
        """Return a copy that runs in seconds on a CPU and reads no user files."""


@runtime_checkable
class HasStandIn(Protocol):
    """A class that needs its own files, so another component replaces it in `--smoke`."""

    smoke_stand_in: str
    """Name of the replacement: a component of the same kind with a default for every key."""


@runtime_checkable
class HasEvaluated(Protocol):
    """A pretrainer that evaluates other weights than it trains, such as averaged ones."""

    def evaluated(self) -> AbstractContextManager[None]:
        """Swap the weights for evaluation into the model for the block, then restore the model.

        Entered between two steps, by all processes of a run.
        """


@runtime_checkable
class HasModel(Protocol):
    """A pretrainer that does not train the backbone's two towers, such as one without text."""

    parts: tuple[str, ...]
    """Parts of the model: "image", and "text" and "head" (an image classifier) if it has them."""

    def model(self, model: DualEncoder, seed: int) -> Any:
        """Return the model that a run trains, evaluates and saves. Called before any stage.

        Args:
            model: The backbone's model.
            seed: Seed of the run, for new weights.
        """


@runtime_checkable
class HasNeededPart(Protocol):
    """An evaluator that needs more than the image tower."""

    needed_part: str
    """"text" or "head" (an image classifier)."""


@runtime_checkable
class HasMisfits(Protocol):
    """An evaluator whose data must match the training data."""

    def misfits(self, pretrainer: Pretrainer) -> Iterable[str]:
        """Return one sentence for each mismatch. Called before a run starts, once all data are present."""


@runtime_checkable
class HasDataSha256(Protocol):
    """A pretrainer that hashes its batches, so that records show whether arms saw the same data."""

    @property
    def data_sha256(self) -> str:
        """Hash of all batches so far; equal for equal batches in equal order."""


@runtime_checkable
class HasMaxShuffleBlocks(Protocol):
    """Pairs that are read in whole blocks, several of which are in memory."""

    @property
    def max_shuffle_blocks(self) -> int:
        """Number of blocks that can be shuffled together before almost every pair reads a whole block."""


# a block, and the first and last draw that need it, counted over the whole run
BlockUse = tuple[int, int, int]
# called with the number of finished draws, and of draws that are finished or requested
Reached = Callable[[int, int], None]


@runtime_checkable
class HasReadAhead(Protocol):
    """Remote pairs, whose blocks are fetched before they are needed."""

    def read_ahead(self, uses: Iterable[BlockUse]) -> AbstractContextManager[Reached]:
        """Fetch blocks in the background while the context is open.

        Args:
            uses: Blocks in the order of their first draw.

        Returns:
            A context manager. It yields a function to call with the progress of the draws after each batch.
        """


@runtime_checkable
class HasPublishedNumPairs(Protocol):
    """Pairs whose source states their number, so that it is known without the data."""

    @property
    def published_num_pairs(self) -> int | None:
        """Number of pairs, or None if unknown. Only for estimates of cost."""


@runtime_checkable
class HasClasses(Protocol):
    """Pairs whose images have class labels."""

    def read_classes(self) -> Classes:
        """Return the class names and the label of each pair.

        Raises:
            DataError: If the pairs have no labels, or a label is out of range.
        """


@runtime_checkable
class HasNeeds(Protocol):
    """A component that lists its data, so that they can be downloaded before a run."""

    def needs(self) -> Iterable[DataNeed]:
        """Return all data that the component reads, present or not."""


@runtime_checkable
class HasNoiseCeiling(Protocol):
    """Judgments of several people, whose agreement limits the score of a model."""

    def noise_ceiling(self, split: Split) -> tuple[float, float] | None:
        """Return the lower and upper noise ceiling of 2AFC in [0, 1], or None.

        None means one person, or unknown individual choices.
        """


@runtime_checkable
class HasPeople(Protocol):
    """Judgments with the identity of the person who gave each answer."""

    @property
    def people(self) -> Sequence[str]:
        """Names of all people, in the order of their matrices if there are any."""

    def load_people(self, split: Split) -> Mapping[str, Triplets]:
        """Return the judgments of each person by name, over the stimuli of `load`."""


@runtime_checkable
class HasExpect(Protocol):
    """A tracker that reports the progress of a sweep."""

    def expect(self, runs: Sequence[tuple[str, int]]) -> None:
        """Receive arm and seed of every run of the sweep, before the first one starts."""


@runtime_checkable
class HasDescribe(Protocol):
    """A tracker that records the recipe of a run."""

    def describe(self, ctx: RunContext, text: str, settings: Mapping[str, Any]) -> None:
        """Receive the recipe's text and the resolved settings of a run; called before `start`."""


@runtime_checkable
class HasLogImage(Protocol):
    """A tracker that accepts images."""

    def log_image(self, name: str, path: Path, samples_seen: int) -> None:
        """Log a PNG image of the last finished run."""


@runtime_checkable
class HasSay(Protocol):
    """A tracker that prints to the console, so that other lines must pass through it."""

    def say(self, text: str) -> None:
        """Print a line, such as a library's warning in a worker process."""
