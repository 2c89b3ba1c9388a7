"""What measures on test sets have in common: which sets, how they are encoded, several models at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from perceptinit.compute.optim import Precision
from perceptinit.configs import DrawnSide, NonNegativeInt, NumDrawn, PositiveInt
from perceptinit.evaluators.features import ALONE, Joint
from perceptinit.protocols import DualEncoder
from perceptinit.results.measures import OTHER
from perceptinit.test_sets.choice import Missing, SetChoice
from perceptinit.test_sets.suite import SYNTHETIC, SetKind, SyntheticSettings, find_set
from perceptinit.types import DataNeed, RunContext, Score, Split, StagePlan


@dataclass(frozen=True, slots=True, kw_only=True)
class SetConfig:
    """Keys of every measure on test sets; kinds: the sets that it can use."""

    kinds: ClassVar[tuple[SetKind, ...]] = ("classification",)

    datasets: tuple[str, ...]
    """Test sets: folders under `root`, in the clip-benchmark layout or with a folder per class;
    keys of the suites, which are found under the folder names of DataComp and clip-benchmark; hub
    addresses; `synthetic` is the built-in simulated set."""
    root: str = ""
    """Folder of the test sets; empty: `datasets` are paths."""
    batch_size: PositiveInt = 256
    """Images, and texts, that go through the model at once."""
    precision: Precision = "fp32"
    """Arithmetic of the towers; fp32 is the reference (bf16 moved scores by up to 3.1 points)."""
    cache_mib: NonNegativeInt = 2048
    """Decoded images are kept between measurements while all sets together fit into this, MiB."""
    synthetic_seed: NonNegativeInt = 0
    """World that `synthetic` comes from; the seed of the pairs, or a score of words says nothing."""
    synthetic_num_images: NumDrawn = 1000
    """Images of `synthetic`, or of each of its splits."""
    synthetic_image_size: DrawnSide = 32
    """Height and width that `synthetic` is rendered at, pixels."""

    def __post_init__(self) -> None:
        self.choice().check()

    def choice(self) -> SetChoice:
        """Return the sets that are meant."""
        return SetChoice(
            datasets=self.datasets,
            root=self.root,
            kinds=self.kinds,
            synthetic=SyntheticSettings(
                seed=self.synthetic_seed,
                num_images=self.synthetic_num_images,
                image_size=self.synthetic_image_size,
            ),
        )

    def smoke(self) -> Any:
        """Return a copy that measures on simulated images, 128 a split."""
        return replace(self, datasets=(SYNTHETIC,), synthetic_num_images=128, batch_size=64)


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteConfig(SetConfig):
    """Keys of measures that suites are made of."""

    datasets: tuple[str, ...] = ()
    suite: str = ""
    """A named suite, whose sets of this kind come before `datasets`: "paper29", "paper29-script",
    "datacomp32" or "smoke"."""
    missing: Missing = "error"
    """What an absent set is: an error before anything starts, or left out with a warning ("skip")."""
    split: Split | None = None
    """Split of the sets to measure on; "test" unless given. Another one is part of the names, as in
    `top1/cifar10-train`: for tuning on data that decide nothing."""

    def choice(self) -> SetChoice:
        """Return the sets that are meant."""
        choice = SetConfig.choice(self)
        return replace(choice, suite=self.suite, missing=self.missing, split=self.split or "test")

    def smoke(self) -> Any:
        """Return a copy that measures on 64 simulated images."""
        return replace(self, datasets=(SYNTHETIC,), suite="", synthetic_num_images=64, batch_size=64)


class SetMeasure(ABC):
    """Measures models on test sets; a child gives `evaluate_many`."""

    def __init__(self, config: Any) -> None:
        self.config = config
        self.choice: SetChoice = config.choice()

    def preflight(self) -> Iterator[str]:
        """Yield what is missing or wrong in each set; images are decoded only when they are used."""
        return self.choice.problems()

    def needs(self) -> Iterator[DataNeed]:
        """Yield the sets that are folders of the user's."""
        return self.choice.needs()

    def plan(self) -> StagePlan:
        """Return how many images go through the model, as the suites state them, absent sets included."""
        known = [find_set(name) for name in self.choice.all]
        counts = [found.num_images for found in known if found and found.num_images]
        unknown = len(known) - len(counts)
        note = f"{len(known)} test set{'s' if len(known) > 1 else ''}" + (
            f", {unknown} of unknown size" if unknown else ""
        )
        return StagePlan(steps=0, num_images=sum(counts), note=note)

    def evaluate(self, model: DualEncoder, ctx: RunContext) -> Iterable[Score]:
        """Return the scores of all sets.

        Raises DataError when more than a thousandth of the images cannot be decoded (a set that lacks
        fewer is marked, see `readable`), and TrainingError for embeddings that are not finite.
        """
        return self.evaluate_many([model], ctx)[0]

    @abstractmethod
    def evaluate_many(
        self, models: Sequence[DualEncoder], ctx: RunContext, joint: Joint = ALONE
    ) -> list[list[Score]]:
        """Return the scores of each model; the images of a set are decoded once for all of them."""

    def present(self, ctx: RunContext, name: str) -> list[str]:
        """Return the sets to measure on; those that are skipped are told in the name of the evaluator."""
        present, absent = self.choice.present()
        if absent:
            ctx.warn(f"{name}: {len(absent)} sets are absent and skipped: {', '.join(absent)}")
        return present


def main_score(name: str, result: list[Score]) -> list[Score]:
    """Return `main/<set>`, the measure that stands for a set of the suites; empty for other sets."""
    known = find_set(name)
    if known is None or known.family == OTHER:  # simulated sets are in no average
        return []
    own = next((s for s in result if s.name == f"{known.main}/{name}"), None)
    if own is None:  # a set of this name, but of another kind than the suite's
        return []
    chance = own.chance if known.chance is None else known.chance
    return [replace(own, name=f"main/{name}", chance=chance, extra={"measure": known.main})]
