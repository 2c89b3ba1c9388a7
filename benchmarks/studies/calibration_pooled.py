"""Coverage and power of intervals with a pooled spread: equal arms, one arm of fourfold spread, and heavy tails."""

from __future__ import annotations

# N experiments, A arms with the baseline first, S seeds
from collections.abc import Iterator

import numpy as np
from calibration_counts import Cells, Counts, Row, Study
from scipy.special import stdtrit

from perceptinit.analysis.decisions import Rule
from perceptinit.analysis.pooling import level_of_family, pool
from perceptinit.analysis.power import Noise, chances, find_effect

NUM = 10_000
NUM_ARMS = range(2, 11)
NUM_SEEDS = range(3, 9)
KINDS = (
    "equal spread",
    "heavy tails (t, 4 degrees of freedom)",
    "fourfold spread of an arm",
    "fourfold spread of the baseline",
)
EQUAL, HEAVY, OF_ARM, OF_BASELINE = KINDS


def draw(rng: np.random.Generator, kind: str, num: int, num_arms: int, num_seeds: int) -> np.ndarray:
    """Return scores of equal arms, shape (N, A, S)."""
    shape = (num, num_arms, num_seeds)
    values = rng.standard_t(4, shape) if kind == HEAVY else rng.standard_normal(shape)
    wide = {OF_ARM: -1, OF_BASELINE: 0}.get(kind)
    if wide is not None:
        values[:, wide] *= 4
    return values + rng.standard_normal((num, 1, num_seeds))  # seeds differ


def find_half_widths(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return half of the width of simultaneous intervals, shape (N, A - 1), and whether the check falls back."""
    num_arms, num_seeds = values.shape[1:]
    pooled = pool(values)
    num_family = num_arms - 1
    level = level_of_family(num_family, pooled.degrees) if num_family > 1 else 0.95
    wide = stdtrit(pooled.degrees, 0.5 + level / 2) * pooled.deviation[:, None] / num_seeds**0.5
    spread = (values[:, 1:] - values[:, :1]).std(axis=2, ddof=1)
    own = stdtrit(num_seeds - 1, 0.5 + Rule().level_for(num_family) / 2) * spread / num_seeds**0.5
    return np.where(pooled.is_equal[:, None], wide, np.maximum(wide, own)), ~pooled.is_equal


def count(rng: np.random.Generator, num: int, kind: str, num_arms: int, num_seeds: int) -> Counts:
    """Return how often all intervals cover 0, with a pooled spread and with that of each difference."""
    values = draw(rng, kind, num, num_arms, num_seeds)
    half, falls_back = find_half_widths(values)
    means = values.mean(axis=2)
    is_covered = (np.abs(means[:, 1:] - means[:, :1]) <= half).all(axis=1)
    return {"covered": int(is_covered.sum()), "fallen_back": int(falls_back.sum())}


def coverage_rows(cells: Cells) -> Iterator[Row]:
    for kind in KINDS:
        for num_arms in NUM_ARMS:
            found = [
                cells.find(f"pooled/{kind}/{num_arms}/{num}", NUM, count, kind, num_arms, num)
                for num in NUM_SEEDS
            ]
            rates = (
                f"{100 * c['covered'] / c['num']:.1f} ({100 * c['fallen_back'] / c['num']:.0f})"
                for c in found
            )
            yield kind, str(num_arms), *rates


def power_rows(cells: Cells) -> Iterator[Row]:
    for num_arms in (3, 5, 10):
        for num in (3, 4, 5, 8):
            c = cells.find(f"pooled-power/{num_arms}/{num}", 1, _find_effects, num_arms, num)
            yield str(num_arms), str(num), f"{c['own']:.2f}", f"{c['pooled']:.2f}"


def _find_effects(rng: np.random.Generator, num: int, num_arms: int, num_seeds: int) -> Counts:
    """Return the lead of an arm that is found with 80 % probability, by spread."""
    rules = {"own": Rule(), "pooled": Rule(num_pooled=num_arms)}
    return {
        name: round(
            find_effect(lambda x, r=rule: chances(r, num_seeds, x, Noise(1.0), num_arms - 1).better, 1.0), 3
        )
        for name, rule in rules.items()
    }


STUDIES = {
    "pooled": Study(("scores", "arms", *(f"{num} seeds" for num in NUM_SEEDS)), coverage_rows),
    "pooled-power": Study(("arms", "seeds", "found, own spread", "found, pooled spread"), power_rows),
}
