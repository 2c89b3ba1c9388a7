"""Optional members of components. The core checks for each with isinstance."""

from __future__ import annotations

# B batch, T tokens, D embedding, H W image
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

if TYPE_CHECKING:
    from perceptinit.protocols.required import DualEncoder, Pretrainer
    from perceptinit.types import Classes, DataNeed, ImageSource, RunContext, Split, StagePlan, Triplets


@runtime_checkable
class HasPreflight(Protocol):
    """A component that detects problems before a run starts."""

    def preflight(self) -> Iterable[str]:
        """Return one sentence per problem, such as a missing folder; empty if the component is ready.

        Called before any run starts. Nested components report their own problems.
        """


@runtime_checkable
class HasWarnings(Protocol):
    """A component that warns about valid but unusual settings before a run starts."""

    def warnings(self) -> Iterable[str]:
        """Return one sentence per warning, such as a batch larger than the data."""


@runtime_checkable
class HasPlan(Protocol):
    """A component that can predict its amount of work."""

    def plan(self) -> StagePlan:
        """Return the number of steps and images, for `perceptinit validate` and progress bars."""


@runtime_checkable
class HasSmoke(Protocol):
    """A `Config` with a small version for `--smoke`."""

    def smoke(self) -> Self:
        """Return a copy that runs in seconds on a CPU without user files."""


@runtime_checkable
class HasStandIn(Protocol):
    """A component that another component replaces in `--smoke`, such as one that needs user files."""

    smoke_stand_in: str
    """Name of the replacement: a component of the same kind with a default for every key."""


@runtime_checkable
class HasEvaluated(Protocol):
    """A pretrainer with separate weights for evaluation, such as an average of the trained weights."""

    def evaluated(self) -> AbstractContextManager[None]:
        """Return a context in which the model has the evaluation weights.

        All processes of a run enter the context between two steps.
        """


@runtime_checkable
class HasModel(Protocol):
    """A pretrainer that trains a model other than the backbone's two towers, such as a classifier."""

    parts: tuple[str, ...]
    """Parts of the model: "image", and optionally "text" and "head" (an image classifier)."""

    def model(self, model: DualEncoder, seed: int) -> Any:
        """Return the model that a run trains, evaluates and saves. Called before any stage.

        Args:
            model: The backbone's model.
            seed: Seed of the run, for weights outside the backbone.
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
        """Return one sentence per mismatch. Called before a run starts, if all data are present."""


@runtime_checkable
class HasEvaluatedImages(Protocol):
    """An evaluator that lists its images, so that records show whether stage 1 has seen them."""

    def evaluated_images(self) -> Iterable[tuple[str, Sequence[ImageSource]]]:
        """Return the name of each data set, as in its scores, and the images that it evaluates."""


@runtime_checkable
class HasDataSha256(Protocol):
    """A pretrainer that hashes its batches, so that records show whether arms had the same data."""

    @property
    def data_sha256(self) -> str:
        """Hash of all batches so far; equal for equal batches in equal order."""


@runtime_checkable
class HasDataFiles(Protocol):
    """A pretrainer that identifies its data files, so that a run resumes only with the same files."""

    def data_files(self) -> Mapping[str, Any]:
        """Return the names and sizes of the files in brief, as values of JSON."""


@runtime_checkable
class HasFileNames(Protocol):
    """Pairs that are read from several files."""

    @property
    def file_names(self) -> Sequence[str]:
        """Names of the files, without folders, in order."""


@runtime_checkable
class HasMaxShuffleBlocks(Protocol):
    """Pairs that are read in blocks, of which a limited number is in memory."""

    @property
    def max_shuffle_blocks(self) -> int:
        """Maximum number of blocks to shuffle together; with more, a block is read for almost every pair."""


# a block, and its first and last use, as sample numbers of the run
BlockUse = tuple[int, int, int]
# called with the number of finished samples, and the number of finished or requested samples
Reached = Callable[[int, int], None]


@runtime_checkable
class HasReadAhead(Protocol):
    """Remote pairs, whose blocks are fetched before they are needed."""

    def read_ahead(self, uses: Iterable[BlockUse]) -> AbstractContextManager[Reached]:
        """Fetch blocks in the background while the context is open.

        Args:
            uses: Blocks in the order of their first use.

        Returns:
            A context manager that yields a function to call with the progress after each batch.
        """


@runtime_checkable
class HasPublishedNumPairs(Protocol):
    """Pairs whose number is published, so that it is known without the data."""

    @property
    def published_num_pairs(self) -> int | None:
        """Number of pairs, or None if unknown. Used only to estimate cost."""


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
    """A component that lists its data, for downloads before a run."""

    def needs(self) -> Iterable[DataNeed]:
        """Return all data that the component reads, whether present or missing."""


@runtime_checkable
class HasNoiseCeiling(Protocol):
    """Judgments of several people, whose agreement bounds the score of a model."""

    def noise_ceiling(self, split: Split) -> tuple[float, float] | None:
        """Return the lower and upper noise ceiling of 2AFC in [0, 1], or None.

        None for a single person, or if individual choices are unknown.
        """


@runtime_checkable
class HasPeople(Protocol):
    """Judgments that identify the person of each answer."""

    @property
    def people(self) -> Sequence[str]:
        """Names of all people; for matrices, in the order of the matrices."""

    def load_people(self, split: Split) -> Mapping[str, Triplets]:
        """Return the judgments of each person by name, with the stimuli of `load`."""


@runtime_checkable
class HasExpect(Protocol):
    """A tracker that reports the progress of a sweep."""

    def expect(self, runs: Sequence[tuple[str, int]]) -> None:
        """Receive the arm and seed of every run of the sweep, before the first run starts."""


@runtime_checkable
class HasDescribe(Protocol):
    """A tracker that records the recipe of a run."""

    def describe(self, ctx: RunContext, text: str, settings: Mapping[str, Any]) -> None:
        """Receive the text of the recipe and the resolved settings of a run. Called before `start`."""


@runtime_checkable
class HasSay(Protocol):
    """A tracker that prints to the console, including the output of worker processes."""

    def say(self, text: str) -> None:
        """Print a line, such as a library's warning in a worker process."""
