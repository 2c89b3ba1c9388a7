"""The zero-shot suites: their test sets, families, main measures and chance levels."""

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


def members(target: str) -> tuple[str, ...]:
    """Return the sets of a suite, or the one set with this name."""
    return tuple(s.key for s in suite_sets(target)) if target in suite_names() else (target,)
