"""The zero-shot suites: which test sets there are, their families, main metrics and chance levels."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from perceptinit.errors import UsageError
from perceptinit.registry import unknown

HUB = "https://huggingface.co/datasets/"
SYNTHETIC = "synthetic"  # also the name of judgments
SetKind = Literal["classification", "multilabel", "retrieval"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticSettings:
    """The simulated test set: its world, number of images and size that they are rendered at."""

    seed: int = 0
    num_images: int = 1000
    image_size: int = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteSet:
    """One test set of the suites, as `suite.toml` states it; None where nobody does.

    key: DataComp's name. family: which average it belongs to. main: measure that stands for the set;
    chance: of that measure. num_images, num_classes, num_captions, num_templates: of the hosted set.
    hub: repositories that hold it in clip-benchmark's layout.
    openai_vit_b_32: published scores of OpenAI's ViT-B/32, by measure.
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
    openai_vit_b_32: Mapping[str, float] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Return what the set is called: its key, and the names of both public suites."""
        flat = self.key.replace("/", "-")
        hosted = [repository.partition("/")[2] for repository in self.hub]
        names = [self.key, flat, f"wds_{flat}_test", f"wds_{flat}", *hosted]
        names += [name.removeprefix("wds_") for name in hosted]
        return tuple(dict.fromkeys(names))

    @property
    def folders(self) -> tuple[str, ...]:
        """Return what the set's folder may be called: also without the group, `dtd` for `vtab/dtd`."""
        return (*self.names, self.key.rpartition("/")[2])


@cache
def _tables() -> dict[str, Any]:
    text = resources.files("perceptinit.test_sets").joinpath("suite.toml").read_text("utf-8")
    return tomllib.loads(text)


def suite_names() -> tuple[str, ...]:
    """Return the names of the suites."""
    return tuple(_tables()["suites"])


@cache
def known_sets() -> Mapping[str, SuiteSet]:
    """Return every set that the suites know, by key."""
    return {
        key: SuiteSet(key=key, **{**table, "hub": tuple(table["hub"])})
        for key, table in _tables()["sets"].items()
    }


def suite_sets(name: str, kinds: Sequence[SetKind] = ()) -> tuple[SuiteSet, ...]:
    """Return the sets of a suite, of some kinds or of all.

    Raises UsageError for an unknown suite.
    """
    if name not in _tables()["suites"]:
        raise UsageError(unknown("no suite called", name, suite_names()))
    sets = (known_sets()[key] for key in _tables()["suites"][name]["sets"])
    return tuple(s for s in sets if not kinds or s.kind in kinds)


def find_set(name: str) -> SuiteSet | None:
    """Return the set that a key or another of its names means, None when the suites do not know it."""
    known = known_sets()
    return known.get(name) or next((s for s in known.values() if name in s.names), None)


def is_test_set(target: str) -> bool:
    """Tell whether a name is a suite, a set of one, or a folder in clip-benchmark's layout."""
    is_known = target in suite_names() or (target in known_sets() and target != SYNTHETIC)
    return is_known or is_set_folder(target)


def is_set_folder(target: str) -> bool:
    """Tell whether a name is that of no set or suite, but a folder in clip-benchmark's layout."""
    path = Path(target)
    has_layout = (path / "classnames.txt").is_file() or (path / "test" / "nshards.txt").is_file()
    return has_layout and target not in suite_names() and target not in known_sets()


def members(target: str) -> tuple[str, ...]:
    """Return the sets that a name means: those of a suite, or the one."""
    return tuple(s.key for s in suite_sets(target)) if target in suite_names() else (target,)
