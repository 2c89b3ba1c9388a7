"""Names, families, units and order of measures and data sets, and formatting of durations."""

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

OTHER = "other"
SEEN = "seen_in_stage_1"  # key of the share of evaluated images that stage 1 has seen, in `Score.extra`
_VARIANT = re.compile(r"_((linear|pearson|euclidean|dot)(_best_layer)?|best_layer)$")
# fields of `Score` that tables and files show next to its value
FACTS = ("chance", "lower_ceiling", "ceiling", "num_examples", "unit")


@cache
def _names() -> dict[str, Any]:
    text = resources.files("perceptinit.results").joinpath("measures.toml").read_text("utf-8")
    return tomllib.loads(text)


def split_name(name: str) -> tuple[str, str]:
    """Return the measure and data set in the name of a score: `top1/vtab/dtd` -> (`top1`, `vtab/dtd`)."""
    measure, _, data_set = name.partition("/")
    return measure, data_set


def family_of(data_set: str) -> str:
    """Return the family of a data set in the suites, or `other` for a user's set."""
    from perceptinit.test_sets.sets import find_set

    known = find_set(data_set)
    return known.family if known else OTHER


def measure_names() -> list[str]:
    """Return the built-in measures in their order of priority as the primary measure."""
    return list(_names()["titles"])


def split_variant(measure: str) -> tuple[str, str]:
    """Return a known measure and its variant: `2afc_linear` -> (`2afc`, `linear`); else itself and nothing.

    Variants measure the same data in another way, so they are no further data sets of a mean.
    """
    base = _VARIANT.sub("", measure)
    if base not in {*_names()["titles"], "embedding_spread"}:
        return measure, ""
    return base, measure.removeprefix(base).removeprefix("_")


def measure_title(measure: str) -> str:
    """Return the display name of a measure."""
    base, variant = split_variant(measure)
    title = str(_names()["titles"].get(base, base.replace("_", " ")))
    return f"{title}, {variant.replace('_', ' ')}" if variant else title


def is_diagnostic(measure: str) -> bool:
    """Return whether a measure describes models without ranking them."""
    return split_variant(measure)[0] in _names()["kinds"]["diagnostics"]


def is_perceptual(measure: str) -> bool:
    """Return whether a measure shows what stage 1 added, such as agreement with people."""
    return split_variant(measure)[0] in _names()["kinds"]["perceptual"]


def may_ask_people(measure: str) -> bool:
    """Return whether a measure may use judgments. True for perceptual and plug-in measures."""
    known = {*_names()["titles"], *_names()["kinds"]["diagnostics"]}
    return is_perceptual(measure) or split_variant(measure)[0] not in known


def rank(measure: str) -> tuple[int, bool]:
    """Return the position of a measure in `measure_names`, and whether it is a variant, which come later.

    Other measures are last.
    """
    order = measure_names()
    base, variant = split_variant(measure)
    return [*order, base].index(base), bool(variant)


def incomplete(extra: Mapping[str, Any]) -> str:
    """Return a note on unreadable images of a score's data set, or an empty string."""
    if not isinstance(extra, Mapping) or not {"num_images", "unreadable"} <= extra.keys():
        return ""
    return f"incomplete: {extra['num_images']:,} of {extra['num_images_of_set']:,} images"


def is_share(measure: str, chance: float | None) -> bool:
    """Return whether a score is a share of examples, reported in percent and points."""
    return chance is not None and not is_correlation(measure)


def is_correlation(measure: str) -> bool:
    """Return whether a measure is a correlation, or a kappa, in [-1, 1]."""
    return measure.partition("_")[0] in _names()["kinds"]["correlations"]


def readable_seconds(seconds: float) -> str:
    """Return a human-readable duration: `42 s`, `7 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
