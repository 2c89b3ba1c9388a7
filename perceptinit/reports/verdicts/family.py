"""One statement of how many of all the differences shown would be false by chance."""

from __future__ import annotations

from perceptinit.reports.comparison import Comparison
from perceptinit.reports.statistics import holm
from perceptinit.reports.verdicts.headline import summary

ALPHA = 0.05
MAX_NAMED = 6


def family_wise(comparison: Comparison) -> str:
    """Return the statement; empty when no difference has an interval."""
    found = [
        (f"{d.contrast.title} in {score.name}", d.p_value)
        for score in (*comparison.averages, *comparison.scores)
        for d in score.differences
        if not score.is_diagnostic and d.p_value is not None
    ]
    if not found:
        return ""
    top = summary(comparison)
    asked = len(top.answers) if top else 0
    is_repeated = comparison.primary is not None and comparison.primary.rule.is_repeated
    shown = f"{len(found)} differences are" if len(found) > 1 else "1 difference is"
    text = (
        f"{shown} shown, {asked} of them in the headline. Each interval misses the truth in "
        f"{'at most ' if is_repeated else ''}{100 * ALPHA:.0f} % of experiments: if no arm differed from another, about "
        f"{ALPHA * len(found):.1f} of the {len(found)} would exclude 0 by chance, and any of the {asked} with a chance "
        f"of at most {100 * min(1.0, ALPHA * asked):.0f} %."
    )
    return text if is_repeated else f"{text} {_after_correction(found)}"


def _after_correction(found: list[tuple[str, float]]) -> str:
    corrected = holm([p_value for _, p_value in found])
    left = [name for (name, _), p in zip(found, corrected, strict=True) if p < ALPHA]
    named = "; ".join([*left[:MAX_NAMED], *(["others"] if len(left) > MAX_NAMED else [])])
    which = (
        f"{len(left)} remain{'s' if len(left) == 1 else ''}: {named}" if left else "none remains"
    )
    return (
        f"Where the chance of any false one is to stay at {100 * ALPHA:.0f} % for all of them together "
        f"(Holm's correction), {which}."
    )
