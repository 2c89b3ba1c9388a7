"""What components may give beyond what their kind must: the protocols of each kind, and holding a class to them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from perceptinit import protocols as p
from perceptinit.evaluators.features import HasEvaluateMany
from perceptinit.files.downloads import HasDownloads
from perceptinit.judgments.forms.conventions import HasConventions
from perceptinit.judgments.forms.odd_one_out import HasOddOneOut
from perceptinit.judgments.forms.rdm import HasDissimilarities
from perceptinit.judgments.forms.same_pairs import HasSamePairs
from perceptinit.test_sets.choice import HasChoice

ANY_KIND: tuple[type, ...] = (p.HasPreflight, p.HasWarnings, p.HasNeeds, p.HasPlan, p.HasStandIn)
OPTIONAL: dict[str, tuple[type, ...]] = {
    "initializer": ANY_KIND,
    "backbone": ANY_KIND,
    "pretrainer": (*ANY_KIND, p.HasModel, p.HasEvaluated, p.HasDataSha256),
    "judgments": (
        *ANY_KIND,
        p.HasNoiseCeiling,
        p.HasPeople,
        HasOddOneOut,
        HasSamePairs,
        HasDissimilarities,
        HasConventions,
        HasDownloads,
    ),
    "pairs": (
        *ANY_KIND,
        p.HasMaxShuffleBlocks,
        p.HasReadAhead,
        p.HasPublishedNumPairs,
        p.HasClasses,
    ),
    "evaluator": (*ANY_KIND, p.HasNeededPart, p.HasMisfits, HasEvaluateMany, HasChoice),
    "tracker": (*ANY_KIND, p.HasExpect, p.HasDescribe, p.HasLogImage, p.HasSay),
}


def members_of(protocol: type) -> list[str]:
    """Return the names that a protocol asks for."""
    methods = {name for name in vars(protocol) if not name.startswith("_")}
    return sorted(methods | set(inspect.get_annotations(protocol)))


def wrong_arguments(component: type, protocol: type) -> Iterator[str]:
    """Yield how methods of a class differ from those of a protocol that it has or must have.

    Further arguments are fine where they have defaults.
    """
    for name, method in inspect.getmembers(protocol, inspect.isfunction):
        own: Any = getattr(component, name, None)
        if name.startswith("_") or not callable(own):
            continue
        wanted, found = (list(inspect.signature(f).parameters.values()) for f in (method, own))
        more = found[len(wanted) :]
        names, wanted_names = ([v.name for v in values] for values in (found, wanted))
        if names[: len(wanted)] != wanted_names or any(v.default is v.empty for v in more):
            yield f"{name}({', '.join(names)}) must be {name}({', '.join(wanted_names)})"
