"""Labeled and captioned test sets, and the suites with the families and measures of their sets."""

from __future__ import annotations

# N images, C classes, M captions
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from perceptinit.errors import DataError, UsageError
from perceptinit.registry import unknown
from perceptinit.types import ImageSource
from perceptinit.types.data import Lazy

HUB = "https://huggingface.co/datasets/"
ROOT = "data/eval"  # default folder of the sets
SYNTHETIC = "synthetic"  # also the name of judgments
SetKind = Literal["classification", "multilabel", "retrieval"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticSettings:
    """Settings of the simulated test set: seed, number of images, height and width in pixels."""

    seed: int = 0
    num_images: int = 1000
    image_size: int = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteSet:
    """A test set of the suites, from `suite.toml`; unknown numbers are None.

    Args:
        key: Name in DataComp.
        family: Group of sets whose scores are averaged.
        main: The main measure.
        hub: Repositories with the set in clip-benchmark's layout; `num_*` fields describe the hosted set.
        chance: Chance level of the main measure.
        num_bytes: Size of the hosted test split, or an estimate; see `suite.toml`.
        openai_vit_b_32: Published scores of OpenAI's ViT-B/32, by measure.
    """

    key: str
    name: str
    family: str
    kind: SetKind
    main: str
    hub: tuple[str, ...]
    num_classes: int | None = None
    num_images: int | None = None
    num_captions: int | None = None
    num_templates: int | None = None
    chance: float | None = None
    num_bytes: int | None = None
    openai_vit_b_32: Mapping[str, float] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Return the key of the set, and its names in clip-benchmark and DataComp."""
        flat = self.key.replace("/", "-")
        hosted = [repository.partition("/")[2] for repository in self.hub]
        names = [self.key, flat, exported_name(self.key), f"wds_{flat}", *hosted]
        names += [name.removeprefix("wds_") for name in hosted]
        return tuple(dict.fromkeys(names))

    @property
    def folders(self) -> tuple[str, ...]:
        """Return possible folder names: `names`, and the key without its group (`vtab/dtd`: `dtd`)."""
        return (*self.names, self.key.rpartition("/")[2])


def exported_name(name: str) -> str:
    """Return the folder to which clip-benchmark exports the split `test` of a set."""
    return f"wds_{name.replace('/', '-')}_test"


@cache
def _tables() -> dict[str, Any]:
    text = resources.files("perceptinit.test_sets").joinpath("suite.toml").read_text("utf-8")
    return tomllib.loads(text)


def suite_names() -> tuple[str, ...]:
    """Return the names of the suites."""
    return tuple(_tables()["suites"])


@cache
def known_sets() -> Mapping[str, SuiteSet]:
    """Return all sets of the suites by key."""
    return {
        key: SuiteSet(key=key, **{**table, "hub": tuple(table["hub"])})
        for key, table in _tables()["sets"].items()
    }


def suite_sets(name: str, kinds: Sequence[SetKind] = ()) -> tuple[SuiteSet, ...]:
    """Return the sets of a suite, filtered by `kinds` if given; UsageError for an unknown suite."""
    if name not in _tables()["suites"]:
        raise UsageError(unknown("no suite called", name, suite_names()))
    sets = (known_sets()[key] for key in _tables()["suites"][name]["sets"])
    return tuple(s for s in sets if not kinds or s.kind in kinds)


def find_set(name: str) -> SuiteSet | None:
    """Return the test set of the suites that has this key or alternative name, or None."""
    known = known_sets()
    return known.get(name) or next((s for s in known.values() if name in s.names), None)


def is_test_set(target: str) -> bool:
    """Return whether a name is a suite, a set of a suite, or a folder in clip-benchmark's layout."""
    is_known = target in suite_names() or (target in known_sets() and target != SYNTHETIC)
    return is_known or is_set_folder(target)


def is_set_folder(target: str) -> bool:
    """Return whether a name is a folder in clip-benchmark's layout, and neither a set nor a suite."""
    path = Path(target)
    has_layout = (path / "classnames.txt").is_file() or (path / "test" / "nshards.txt").is_file()
    return has_layout and target not in suite_names() and target not in known_sets()


def locate(target: str, root: str) -> tuple[str, str]:
    """Return the name of a set or suite and its folder, which is `root` unless the target is a path."""
    place = Path(target).resolve()
    return (place.name, str(place.parent)) if is_set_folder(target) else (target, root)


def members(target: str) -> tuple[str, ...]:
    """Return the sets of a suite, or the one set with this name."""
    return tuple(s.key for s in suite_sets(target)) if target in suite_names() else (target,)


def choose(items: Sequence[T], places: np.ndarray) -> Lazy[T]:
    """Return a lazy sequence of the items at `places`, int64 (N,)."""
    return Lazy(len(places), lambda index: items[int(places[index])])


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class ZeroShotSet:
    """Images with labels, class names and prompts.

    Args:
        classnames: C names; a label is an index into them.
        templates: Prompts with `{c}` for the class name (clip-benchmark's convention).
        images: N image sources, may be lazy.
        labels: int64 (N,) in [0, C), or bool (N, C) if images have several labels.
        keys: Names of the N samples, used in error messages.
        simulated: Whether the images are rendered.
        class_prompts: Prompts by class name, which replace the templates; may be empty.
    """

    name: str
    classnames: tuple[str, ...]
    templates: tuple[str, ...]
    images: Sequence[ImageSource]
    labels: np.ndarray
    keys: Sequence[str]
    simulated: bool = False
    class_prompts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def is_multilabel(self) -> bool:
        return self.labels.ndim == 2

    def __post_init__(self) -> None:
        where = f"test set '{self.name}'"
        count = len(self.classnames)
        if not len(self.labels):
            raise DataError(f"{where}: no images")
        sizes = {name: len(getattr(self, name)) for name in ("images", "labels", "keys")}
        if len(set(sizes.values())) > 1:
            counts = ", ".join(f"{size} {name}" for name, size in sizes.items())
            raise DataError(f"{where}: expected a label and a key for each image, got {counts}")
        if self.is_multilabel and (width := self.labels.shape[1]) != count:
            raise DataError(f"{where}: labels for {width} classes, but there are {count} class names")
        bad = np.flatnonzero((self.labels < 0) | (self.labels >= count))
        if not self.is_multilabel and bad.size:
            raise DataError(
                f"{where}, sample {self.keys[bad[0]]}: label {self.labels[bad[0]]}, but there are {count} "
                "class names"
            )
        if self.class_prompts:
            lacking = [name for name in self.classnames if not self.class_prompts.get(name)]
            if lacking:
                raise DataError(f"{where}: no prompts for class '{lacking[0]}'")
        elif not self.templates or any("{c}" not in t for t in self.templates):
            raise DataError(f"{where}: every template must contain {{c}} for the class name")

    def only(self, rows: np.ndarray) -> ZeroShotSet:
        """Return the subset of images in the mask `rows`, bool (N,)."""
        if rows.all():
            return self
        kept = np.flatnonzero(rows)
        return replace(
            self,
            images=choose(self.images, kept),
            keys=choose(self.keys, kept),
            labels=self.labels[rows],
        )


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class RetrievalSet:
    """Images with captions, for retrieval.

    Args:
        images: N image sources, may be lazy.
        keys: Names of the N samples, used in error messages.
        captions: M texts.
        owners: The image that each caption describes, int64 (M,).
    """

    name: str
    images: Sequence[ImageSource]
    keys: Sequence[str]
    captions: tuple[str, ...]
    owners: np.ndarray
    simulated: bool = False

    def __post_init__(self) -> None:
        if not len(self.images) or not self.captions:
            raise DataError(f"test set '{self.name}': no images or no captions")
        without = np.setdiff1d(np.arange(len(self.images)), self.owners)
        if without.size:
            raise DataError(
                f"test set '{self.name}', sample {self.keys[without[0]]}: no caption ({without.size} such "
                "images)"
            )

    def only(self, rows: np.ndarray) -> RetrievalSet:
        """Return the subset of images in the mask `rows`, bool (N,), with their captions."""
        if rows.all():
            return self
        kept = np.flatnonzero(rows)
        captions = np.flatnonzero(rows[self.owners])
        return replace(
            self,
            images=choose(self.images, kept),
            keys=choose(self.keys, kept),
            captions=tuple(self.captions[i] for i in captions),
            owners=(np.cumsum(rows) - 1)[self.owners[captions]],
        )


# sets compare by identity, so caches can use them as keys
ImageSet = ZeroShotSet | RetrievalSet
