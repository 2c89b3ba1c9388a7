"""How probably planned seeds find a true difference, simulated; the noise is stated or that of pilot runs."""

from __future__ import annotations

# P simulated experiments
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from perceptinit.reports.comparison import Comparison, Difference
from perceptinit.reports.numbers import magnitude
from perceptinit.reports.verdicts.decisions import NUM_PATHS, Rule
from perceptinit.seeding import generator

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class Chances:
    """How probably an arm is called better, and equivalent, by the last look."""

    better: float
    equivalent: float


def chances(rule: Rule, num: int, effect: float, deviation: float | np.ndarray) -> Chances:
    """Return what `num` seeds come to where the true difference is `effect`, at the looks of the rule.

    deviation: of the difference over seeds, in the unit of the rule's delta; shape (P,) where it is itself uncertain,
    with P = NUM_PATHS. Simulated with normal seeds, always the same ones: right to 0.3 points.
    """
    import numpy as np
    from scipy import stats

    rng, first = generator(0, "power"), max(rule.first, 2) if rule.is_repeated else num
    sums, squares = np.zeros(NUM_PATHS), np.zeros(NUM_PATHS)
    better, equivalent = np.zeros(NUM_PATHS, bool), np.zeros(NUM_PATHS, bool)
    for n in range(1, num + 1):
        values = rng.standard_normal(NUM_PATHS)
        sums, squares = sums + values, squares + values**2
        if n < first:
            continue
        mean = effect + deviation * sums / n
        error = deviation * np.sqrt((squares - sums**2 / n) / (n - 1) / n)
        half = stats.t.ppf(0.5 + rule.confidence / 2, n - 1) * error
        is_open = ~(better | equivalent)
        equivalent |= is_open & (np.abs(mean) + half <= (rule.delta or 0.0))
        better |= is_open & ~equivalent & (mean > half)
    return Chances(float(better.mean()), float(equivalent.mean()))


def deviation_of(pilot: Difference) -> np.ndarray:
    """Return standard deviations over seeds that pilot seeds leave possible, shape (P,).

    The posterior for normal seeds and a flat prior on the logarithm; needs two seeds.
    """
    import numpy as np

    degrees = pilot.value.num - 1
    known = np.std(list(pilot.by_seed.values()), ddof=1)
    return known * np.sqrt(degrees / generator(0, "pilot").chisquare(degrees, NUM_PATHS))


def pilot_lines(pilot: Comparison, rule: Rule, num: int) -> Iterator[str]:
    """Yield for each contrast what `num` seeds that vary as those of the pilot runs would find."""
    score = pilot.primary
    found = [d for d in score.differences if d.value.num > 1] if score else []
    if score is None or not found:
        yield "not known from the runs there: no two arms have two seeds in common"
        return
    for d in found:
        between = deviation_of(d)
        # without a delta: as large a difference as the pilot's seeds vary by
        unit = rule.delta or float(d.value.stderr or 0) * d.value.num**0.5
        name = "" if rule.delta else ", as much as its seeds vary"
        once, twice, none = (chances(rule, num, k * unit, between) for k in (1, 2, 0))
        yield (
            f"{d.contrast.title} in {score.name}, where seeds vary as {d.value.num} pilot seeds do: {num} seeds call a "
            f"true difference of {magnitude(unit, score.is_share)}{name} better with {_per_cent(once.better)} chance, and one of "
            f"{magnitude(2 * unit, score.is_share)} with {_per_cent(twice.better)}"
            + (f"; equal arms equivalent with {_per_cent(none.equivalent)}." if rule.delta else ".")
        )


def _per_cent(share: float) -> str:
    return f"{100 * share:.0f} %"
