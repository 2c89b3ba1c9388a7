"""The test sets of a recipe, by name or suite, in a folder or at an address."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable
from weakref import WeakValueDictionary

import numpy as np

from perceptinit.errors import AbsentError, DataError, problems_of
from perceptinit.files.remote.addresses import RemoteFile
from perceptinit.registry import unknown
from perceptinit.seeding import generator
from perceptinit.test_sets.readers import (
    RETRIEVAL_LAYOUT,
    pack_command,
    read_retrieval_set,
    read_zero_shot_set,
)
from perceptinit.test_sets.sets import (
    HUB,
    SYNTHETIC,
    ImageSet,
    RetrievalSet,
    SetKind,
    SyntheticSettings,
    ZeroShotSet,
    exported_name,
    find_set,
    suite_names,
    suite_sets,
)
from perceptinit.types import DataNeed, Split
from perceptinit.world.captions import caption
from perceptinit.world.factors import CLASSNAMES, draw_factors, label_of
from perceptinit.world.pictures import Pictures

SYNTHETIC_TEMPLATES = ("the {c}", "one {c}", "a picture of the {c}", "here is one {c}")
SYNTHETIC_CAPTIONS = 2  # per image
Missing = Literal["error", "skip"]
_SETS: WeakValueDictionary[tuple[Any, ...], ImageSet] = WeakValueDictionary()


@dataclass(frozen=True, slots=True, kw_only=True)
class SetChoice:
    """The test sets of an evaluator.

    Args:
        datasets: Folders under `root`, paths, addresses, keys of the suites or `synthetic`.
        suite: A suite, whose sets of `kinds` come first.
        root: Folder or address of the sets.
        missing: Whether a missing set is an error or is skipped.
        kinds: Kinds of sets to take from the suite.
        synthetic: Settings of the simulated set.
        split: The split to evaluate, appended to the names of scores unless it is `test`.
    """

    datasets: tuple[str, ...]
    suite: str = ""
    root: str = ""
    missing: Missing = "error"
    kinds: tuple[SetKind, ...] = ("classification",)
    synthetic: SyntheticSettings = field(default_factory=SyntheticSettings)
    split: Split = "test"
    held: dict[tuple[str, str], ImageSet] = field(default_factory=dict, compare=False, repr=False)

    def check(self) -> None:
        """Raise ValueError for no sets, an unknown suite, or two sets with the same score name."""
        if self.suite and self.suite not in suite_names():
            raise ValueError(unknown("suite: no suite called", self.suite, suite_names()))
        names = [self.name(dataset) for dataset in self.all]
        if not names:
            raise ValueError("datasets: at least one test set is required")
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"datasets: two sets have the name '{name}' in the scores")

    @property
    def is_retrieval(self) -> bool:
        return self.kinds == ("retrieval",)

    @property
    def all(self) -> tuple[str, ...]:
        suite = suite_sets(self.suite, self.kinds) if self.suite else ()
        return (*(s.key for s in suite), *self.datasets)

    def name(self, dataset: str) -> str:
        """Return the name of a test set within score names: `dtd`, or `dtd-train` for its split `train`."""
        plain = self._plain_name(dataset)
        return plain if self.split == "test" else f"{plain}-{self.split}"

    def _plain_name(self, dataset: str) -> str:
        """Return the name of a test set: its key, its path under `root`, or the end of its path or URL."""
        if dataset.startswith(HUB):
            return dataset.partition("/datasets/")[2].split("/")[1]
        if "://" in dataset:
            return RemoteFile(dataset).name
        path = Path(dataset)
        is_key = find_set(dataset) is not None
        return dataset if is_key or (self.root and not path.is_absolute()) else path.name

    def path(self, dataset: str, split: str = "") -> Path:
        """Return the folder of a set, which may not exist; for an address, a local copy of the split.

        Raises:
            AbsentError: If there is no set at an address.
            DataError: If a set cannot be fetched.
        """
        address = self._address(dataset)
        if address:
            from perceptinit.test_sets.remote import fetch_address, fetch_remote

            if address.startswith(HUB):
                return fetch_address(address, self.is_retrieval)
            return fetch_remote(address, split or self.split)
        root = Path(self.root).expanduser()
        known = find_set(dataset)
        names = (dataset, *(known.folders if known else [exported_name(dataset)]))
        return next((root / n for n in names if (root / n).is_dir()), root / dataset)

    def _address(self, dataset: str) -> str:
        """Return the address of a set; empty if the set is local or simulated."""
        if "://" in dataset:
            return dataset
        is_remote = "://" in self.root and dataset != SYNTHETIC
        return f"{self.root.rstrip('/')}/{dataset}" if is_remote else ""

    def read(self, dataset: str, split: str = "") -> ImageSet:
        """Return a split of a set, by default the one to evaluate.

        The evaluators of a process share the object and its cached images, as long as an evaluator exists
        and the files do not change.

        Raises:
            DataError: If a file is missing or invalid.
        """
        split = split or self.split
        name = self.name(dataset)
        retrieval = self.is_retrieval
        make: Callable[[], ImageSet]
        if dataset == SYNTHETIC:
            key: tuple[Any, ...] = (self.synthetic, name, split, retrieval)
            make = partial(render_set, self.synthetic, split, retrieval)
        else:
            path = self.path(dataset, split)
            known = find_set(dataset)
            if not path.is_dir() and known and known.hub:
                raise DataError(
                    f"test set '{dataset}': no folder {path}. "
                    f"Get it: perceptinit data download {dataset} --out {self.root or '.'}"
                )
            files = sorted([*path.glob("*"), *(path / split).glob("*")])
            stats = [file.stat() for file in files]
            stamps = tuple((str(f), s.st_size, s.st_mtime_ns) for f, s in zip(files, stats, strict=True))
            key = (path, name, split, retrieval, stamps)
            reader = read_retrieval_set if retrieval else read_zero_shot_set
            make = partial(reader, path, self._plain_name(dataset), split)
        found = _SETS.get(key)
        if found is None:
            found = _SETS[key] = replace(make(), name=name)
        self.held[dataset, split] = found
        return found

    def problems(self) -> Iterator[str]:
        """Yield the problems of each set that is not skipped."""
        for dataset in self.present()[0]:
            yield from problems_of(self.read, dataset)

    def needs(self) -> Iterator[DataNeed]:
        """Yield a `DataNeed` for each local set, with its public copy if there is one."""
        for dataset in self.all:
            if dataset == SYNTHETIC or self._address(dataset):
                continue
            from perceptinit.test_sets.remote import ask_known, endpoint, fetch_known

            known = find_set(dataset)
            public = known if known and known.hub and self.split == "test" else None
            yield DataNeed(
                kind="test set",
                name=dataset,
                place=str(self.path(dataset)),
                problems=tuple(problems_of(self.read, dataset)),
                num_bytes=public.num_bytes if public else None,
                url=endpoint() if public else "",
                ask=partial(ask_known, public) if public else None,
                fetch=partial(fetch_known, public, Path(self.root).expanduser()) if public else None,
                how=RETRIEVAL_LAYOUT
                if self.is_retrieval
                else f"from its images: {pack_command(self.path(dataset))}",
            )

    def present(self) -> tuple[list[str], list[str]]:
        """Return the sets to evaluate, and the missing sets to skip."""
        absent = [d for d in self.all if self.missing == "skip" and self._is_absent(d)]
        return [d for d in self.all if d not in absent], absent

    def _is_absent(self, dataset: str) -> bool:
        if dataset == SYNTHETIC or "://" in dataset:
            return False
        try:
            return not self.path(dataset).is_dir()
        except AbsentError:
            return True


@runtime_checkable
class HasChoice(Protocol):
    """An evaluator on test sets whose examples are shown in reports."""

    choice: SetChoice


def render_set(
    settings: SyntheticSettings, split: str = "test", is_retrieval: bool = False
) -> ZeroShotSet | RetrievalSet:
    """Return rendered images with captions, or with labels of color and shape (64 classes, chance 1/64).

    Factors have the same distributions as in the pairs but different seeds, so the images do not occur in the
    pairs or the judgments. Every color and shape occurs in captions, and slightly more than half of the
    captions name both. Splits are disjoint.
    """
    first = settings.num_images * ("test", "train", "val").index(split)
    numbers = range(first, first + settings.num_images)
    factors = [draw_factors(settings.seed, "test-set", i) for i in numbers]
    images = Pictures(
        (settings.seed, "test-set", first), len(factors), settings.image_size, factors.__getitem__
    )
    keys = [f"synthetic-test/{i:05d}" for i in numbers]
    if not is_retrieval:
        labels = np.array([label_of(each) for each in factors], dtype=np.int64)
        return ZeroShotSet(SYNTHETIC, CLASSNAMES, SYNTHETIC_TEMPLATES, images, labels, keys, simulated=True)
    rngs = [generator(settings.seed, "test-set", i, "captions") for i in numbers]
    captions = tuple(
        caption(each, rng) for each, rng in zip(factors, rngs, strict=True) for _ in range(SYNTHETIC_CAPTIONS)
    )
    owners = np.repeat(np.arange(len(factors)), SYNTHETIC_CAPTIONS)
    return RetrievalSet(SYNTHETIC, images, keys, captions, owners, simulated=True)
