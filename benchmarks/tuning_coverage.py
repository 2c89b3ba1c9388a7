"""Simulate how often the interval of two tuned arms contains the difference of their procedures.

    python benchmarks/tuning_coverage.py        about a minute on one core; prints a table

A score is 40 minus a parabola of each tuned setting, with equal peaks at different places. Each study tries a
scrambled Halton sequence, keeps its best trial by a noisy validation score, and the median study gives the settings of
the final seeds. The truth is the mean difference over all simulated searches.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import qmc

from perceptinit.reports.at_best import MIN_STUDIES
from perceptinit.reports.statistics import Estimate, estimate, widen

# R searches, S studies, T trials, K settings
NUM_SEARCHES = 1000
NUM_RESAMPLES = 200
PEAKS = (0.35, 0.6)  # of the first setting, as shares of the space
# validation noise, curvature, noise of final seeds, number of final seeds, settings, trials
WORLDS = (
    (0.5, 30, 0.7, 5, 1, 5),
    (1.0, 30, 0.7, 5, 1, 5),
    (0.5, 120, 0.7, 5, 2, 5),
    (2.0, 30, 0.7, 3, 2, 5),
    (4.0, 30, 0.3, 10, 1, 5),
    (1.0, 300, 0.3, 10, 2, 15),
)
HEADINGS = (
    "studies", "validation noise", "curvature", "noise over seeds", "seeds", "settings", "trials", "held fixed", "resampled"
)  # fmt: skip


def search(
    points: np.ndarray, peak: float, curvature: float, noise: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the true score at the settings of the median study, (R,), and the best validation scores, (R, S).

    points: (R, S, T, K).
    """
    true = (
        40 - curvature * (points[..., 0] - peak) ** 2 - curvature / 3 * ((points[..., 1:] - 0.5) ** 2).sum(-1)
    )
    validated = true + noise * rng.standard_normal(true.shape)
    best = validated.argmax(-1)[..., None]
    values, truths = (np.take_along_axis(x, best, -1)[..., 0] for x in (validated, true))
    median = np.argsort(-values, axis=1)[:, values.shape[1] // 2]
    return truths[np.arange(len(truths)), median], values


def cover(studies: int, world: tuple[float, ...], rng: np.random.Generator) -> tuple[float, float]:
    """Return the coverage of the interval with settings held fixed, and with studies resampled."""
    noise, curvature, deviation, num_seeds, num_settings, trials = world
    shape = (NUM_SEARCHES, studies, int(trials), int(num_settings))
    halton = [qmc.Halton(shape[3], rng=rng).random(shape[2]) for _ in range(shape[0] * shape[1])]
    points = np.array(halton).reshape(shape)
    arms = [search(points, peak, curvature, noise, rng) for peak in PEAKS]
    truth = float((arms[0][0] - arms[1][0]).mean())
    held = {"fixed": 0, "resampled": 0}
    for tuned, *values in zip(arms[0][0] - arms[1][0], arms[0][1], arms[1][1], strict=True):
        fixed = estimate((tuned + deviation * rng.standard_normal(int(num_seeds))).tolist())
        drawn = rng.integers(studies, size=(NUM_RESAMPLES, MIN_STUDIES))
        first, second = (np.median(v[drawn], axis=1) for v in values)
        wide = widen(fixed, float((first - second).var(ddof=1)), studies, 0.95)
        held["fixed"] += contains(fixed, truth)
        held["resampled"] += contains(wide, truth)
    return held["fixed"] / NUM_SEARCHES, held["resampled"] / NUM_SEARCHES


def contains(value: Estimate, truth: float) -> bool:
    return value.low is not None and value.high is not None and value.low <= truth <= value.high


def main() -> None:
    rng = np.random.default_rng(0)
    print(f"| {' | '.join(HEADINGS)} |\n|{'---:|' * len(HEADINGS)}")
    for studies in (5, 10, 20):
        for world in WORLDS:
            shares = (f"{100 * share:.1f}" for share in cover(studies, world, rng))
            print(f"| {' | '.join([str(studies), *(f'{x:g}' for x in world), *shares])} |")


if __name__ == "__main__":
    main()
