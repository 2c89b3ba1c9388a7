"""How results are said: names, families and units of measures and data sets, which speaks first, durations."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

OTHER = "other"


@cache
def _names() -> dict[str, Any]:
    text = resources.files("perceptinit.results").joinpath("measures.toml").read_text("utf-8")
    return tomllib.loads(text)


def split_name(name: str) -> tuple[str, str]:
    """Return measure and data set of a score: `top1/vtab/dtd` -> (`top1`, `vtab/dtd`)."""
    measure, _, data_set = name.partition("/")
    return measure, data_set


def family_of(data_set: str) -> str:
    """Return the family of a data set, as the suites state it; `other` for sets of one's own."""
    from perceptinit.test_sets.suite import find_set

    known = find_set(data_set)
    return known.family if known else OTHER


def measure_names() -> list[str]:
    """Return the measures that judge, the one that speaks first first; plug-ins may have others."""
    return list(_names()["titles"])


def measure_title(measure: str) -> str:
    """Return what a measure is called in a sentence."""
    return str(_names()["titles"].get(measure, measure.replace("_", " ")))


def is_diagnostic(measure: str) -> bool:
    """Return whether a measure describes a model without saying that it is better."""
    return measure in _names()["kinds"]["diagnostics"]


def is_perceptual(measure: str) -> bool:
    """Return whether a measure asks how much of people's similarity a model has."""
    return measure in _names()["kinds"]["perceptual"]


def may_ask_people(measure: str) -> bool:
    """Return whether a measure asks judgments, as the built-in ones of people do and others may."""
    known = {*_names()["titles"], *_names()["kinds"]["diagnostics"]}
    return is_perceptual(measure) or measure not in known


def rank(measure: str) -> int:
    """Return the place of a measure when one has to speak for a comparison; lower speaks first."""
    order = measure_names()
    return [*order, measure].index(measure)


def incomplete(extra: Mapping[str, Any]) -> str:
    """Return the note on a score from a set of which images could not be read; empty for a whole one."""
    if not isinstance(extra, Mapping) or not {"num_images", "unreadable"} <= extra.keys():
        return ""
    return f"incomplete: {extra['num_images']:,} of {extra['num_images_of_set']:,} images"


def is_share(measure: str, chance: float | None) -> bool:
    """Return whether a value is a share of examples, which is read in per cent and points."""
    return chance is not None and measure.partition("_")[0] not in _names()["kinds"]["not_shares"]


def readable_seconds(seconds: float) -> str:
    """Return a duration as people say it: `42 s`, `7 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
