"""Base classes of measures on test sets."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from perceptinit.compute.optim import Precision
from perceptinit.configs import DrawnSide, NonNegativeInt, NumDrawn, PositiveInt
from perceptinit.evaluators.features import ALONE, Encoding, Joint, Subjects, all_features
from perceptinit.evaluators.readable import mark_incomplete, readable_rows
from perceptinit.protocols import DualEncoder
from perceptinit.results.measures import OTHER
from perceptinit.test_sets.choice import Missing, SetChoice
from perceptinit.test_sets.sets import SYNTHETIC, SetKind, SyntheticSettings, find_set
from perceptinit.types import DataNeed, ImageSource, RunContext, Score, Split, StagePlan

Features = Sequence[np.ndarray]  # features of each split


@dataclass(frozen=True, slots=True, kw_only=True)
class SetConfig:
    """Base class for the `Config` of an evaluator on test sets; `kinds` are the supported types of sets."""

    kinds: ClassVar[tuple[SetKind, ...]] = ("classification",)

    datasets: tuple[str, ...]
    """Test sets: folders under `root`, in the clip-benchmark layout or with a folder per class; keys of the
    suites, whose folders may be named as in DataComp or clip-benchmark; hub addresses; or `synthetic`, the
    simulated set."""
    root: str = ""
    """Folder that contains the test sets; empty if `datasets` are paths."""
    batch_size: PositiveInt = 256
    """Images or texts per batch."""
    precision: Precision = "fp32"
    """Precision of the towers; fp32 is the reference (bf16 changed scores by up to 3.1 points)."""
    cache_mib: NonNegativeInt = 2048
    """Memory limit for decoded images of all sets that are kept between evaluations, in MiB."""
    synthetic_seed: NonNegativeInt = 0
    """Seed of `synthetic`. For scores that use texts, set it to the seed of the pairs."""
    synthetic_num_images: NumDrawn = 1000
    """Number of images in each split of `synthetic`."""
    synthetic_image_size: DrawnSide = 32
    """Height and width of the images of `synthetic`, in pixels."""

    def __post_init__(self) -> None:
        self.choice().check()

    def choice(self) -> SetChoice:
        """Return the selected sets."""
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
        """Return a copy with 128 simulated images per split."""
        return replace(self, datasets=(SYNTHETIC,), synthetic_num_images=128, batch_size=64)


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteConfig(SetConfig):
    """Configuration of measures on suites or single test sets."""

    datasets: tuple[str, ...] = ()
    suite: str = ""
    """Suite whose sets of this kind are added: "paper29", "paper29-script", "datacomp32" or "smoke"."""
    missing: Missing = "error"
    """Action for missing sets: "error" before a run starts, or "skip" with a warning."""
    split: Split | None = None
    """Split to evaluate; None for "test". Another split, such as one for tuning, is appended to the name
    of each score: `top1/cifar10-train`."""

    def choice(self) -> SetChoice:
        """Return the selected sets."""
        choice = SetConfig.choice(self)
        return replace(choice, suite=self.suite, missing=self.missing, split=self.split or "test")

    def smoke(self) -> Any:
        """Return a copy with 64 simulated images."""
        return replace(self, datasets=(SYNTHETIC,), suite="", synthetic_num_images=64, batch_size=64)


class SetMeasure(ABC):
    """Base class of measures on test sets. Subclasses define `evaluate_many`."""

    splits: Sequence[Split | Literal[""]] = ("",)  # "" for the configured split

    def __init__(self, config: Any) -> None:
        self.config = config
        self.choice: SetChoice = config.choice()

    def preflight(self) -> Iterator[str]:
        """Yield missing and invalid files of each set, without decoding images."""
        return self.choice.problems()

    def needs(self) -> Iterator[DataNeed]:
        """Yield a `DataNeed` for each local set."""
        return self.choice.needs()

    def plan(self) -> StagePlan:
        """Return a plan with the published number of images of all sets, including missing ones."""
        known = [find_set(name) for name in self.choice.all]
        counts = [found.num_images for found in known if found and found.num_images]
        note = f"{len(known)} test set{'s' if len(known) > 1 else ''}"
        if unknown := len(known) - len(counts):
            note += f", {unknown} of unknown size"
        return StagePlan(steps=0, num_images=sum(counts), note=note)

    def evaluate(self, model: DualEncoder, ctx: RunContext) -> Iterable[Score]:
        """Return the scores of all sets.

        Raises:
            DataError: If more than 0.1 % of a set's images cannot be decoded. Scores of sets with
                fewer such images are marked.
            TrainingError: If embeddings are not finite.
        """
        return self.evaluate_many([model], ctx)[0]

    @abstractmethod
    def evaluate_many(
        self, models: Sequence[DualEncoder], ctx: RunContext, joint: Joint = ALONE
    ) -> list[list[Score]]:
        """Return the scores of each model, with one decoding pass per set."""

    def evaluated_images(self) -> Iterator[tuple[str, Sequence[ImageSource]]]:
        """Yield the name and the images of each set that is present."""
        for dataset in self.choice.present()[0]:
            yield self.choice.name(dataset), self.choice.read(dataset).images

    def num_images(self) -> int:
        """Return the number of images of the sets that are present, in all splits."""
        pairs = product(self.choice.present()[0], self.splits)
        return sum(len(self.choice.read(*pair).images) for pair in pairs)

    def present(self, ctx: RunContext, name: str) -> list[str]:
        """Return the sets that are present, and warn about skipped sets."""
        present, absent = self.choice.present()
        if absent:
            ctx.warn(f"{name}: {len(absent)} sets are missing and skipped: {', '.join(absent)}")
        return present


class EmbeddedSetMeasure(SetMeasure):
    """Base class of measures of image embeddings. Subclasses define `read` and `scores`."""

    name: ClassVar[str] = ""
    splits: Sequence[Split | Literal[""]] = ("test",)

    @torch.no_grad()
    def evaluate_many(
        self, models: Sequence[DualEncoder], ctx: RunContext, joint: Joint = ALONE
    ) -> list[list[Score]]:
        """Return the scores of each model, with one decoding pass per set."""
        encoding = Encoding.of(self.config, ctx, joint)
        subjects = Subjects.of(models)
        results: list[list[Score]] = [[] for _ in models]
        for dataset in self.present(ctx, self.name):
            with joint.guard(dataset):
                sets = [self.read(dataset, split) for split in self.splits]
                features = [all_features(subjects, s, encoding) for s in sets]
                rows = [readable_rows(s, encoding.merge, ctx.warn) for s in sets]
                kept = [s.only(r) for s, r in zip(sets, rows, strict=True)]
                for model, result, *own in zip(models, results, *features, strict=True):
                    known = [f[r] for f, r in zip(own, rows, strict=True)]
                    result += mark_incomplete(self.scores(model, kept, known, ctx), sets, rows)
        return results

    @abstractmethod
    def read(self, dataset: str, split: str) -> Any:
        """Return a split of a set."""

    @abstractmethod
    def scores(
        self, model: DualEncoder, sets: Sequence[Any], features: Features, ctx: RunContext
    ) -> list[Score]:
        """Return the scores of a model from its unit embeddings (N, D) of each split."""


def main_score(name: str, result: list[Score]) -> list[Score]:
    """Return `main/<set>`, the main score of a set in the suites; empty for other sets."""
    known = find_set(name)
    if known is None or known.family == OTHER:  # averages exclude simulated sets
        return []
    own = next((s for s in result if s.name == f"{known.main}/{name}"), None)
    if own is None:  # a set with the same name but another kind
        return []
    chance = own.chance if known.chance is None else known.chance
    return [replace(own, name=f"main/{name}", chance=chance, extra={"measure": known.main})]
