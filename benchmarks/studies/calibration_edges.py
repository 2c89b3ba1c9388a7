"""Rates at the limits of a published score's tolerance, and coverage of intervals of tuned arms."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from calibration_counts import Cells, Counts, Row, Study, share

from perceptinit.analysis.at_best import MIN_SEARCHES
from perceptinit.analysis.decisions import CONFIDENCE
from perceptinit.analysis.questions import Outcome
from perceptinit.analysis.statistics import Estimate, estimate, widen
from perceptinit.recipe.settings import ExpectConfig, Range, TuneConfig
from perceptinit.recipe.tuning import Dimension, Tuning
from perceptinit.results.source import POINTS
from perceptinit.results.tuned import Search, Trial
from perceptinit.verdict.published import CONFIDENCE as PUBLISHED_CONFIDENCE, decide_published

NUM = 10_000
NUM_TUNINGS = 1_000
NUM_SEEDS = (3, 5, 6, 10)
SPREADS = (0.2, 0.5)  # standard deviation over seeds, in tolerances
OFFSETS = (0.0, -1.0, 1.0, -1.2)  # of the true mean from the published score, in tolerances
EXPECTED = ExpectConfig(
    arm="random", measure="top1", data_set="made", value=40.0, tolerance=1.0, source="a made publication"
)
ONE_SIDED = replace(EXPECTED, reruns_are_below=True)

# --- published scores ------------------------------------------------------------------------------------------------


def published_rows(cells: Cells) -> Iterator[Row]:
    """Yield how often an arm is called equivalent to its published score, by the distance of its true mean."""
    for expected, name in ((EXPECTED, "two sides"), (ONE_SIDED, "re-runs are below")):
        for num_seeds in NUM_SEEDS:
            for spread in SPREADS:
                counts = cells.find(
                    f"yardsticks/{name}/{num_seeds}/{spread}", NUM, _count_judged, expected, num_seeds, spread
                )
                rates = (share(counts[f"{offset:g}"], counts["num"]) for offset in OFFSETS)
                yield name, str(num_seeds), f"{spread:g}", *rates


def _count_judged(
    rng: np.random.Generator, num: int, expected: ExpectConfig, num_seeds: int, spread: float
) -> Counts:
    counts = Counter({f"{offset:g}": 0 for offset in OFFSETS})
    for offset in OFFSETS:
        mean = expected.value + expected.tolerance * offset
        drawn = (mean + spread * expected.tolerance * rng.standard_normal((num, num_seeds))) / POINTS
        for values in drawn.tolist():
            value = estimate(values, PUBLISHED_CONFIDENCE)
            counts[f"{offset:g}"] += decide_published(value, expected) is Outcome.EQUIVALENT
    return dict(counts)


# --- tuned arms ------------------------------------------------------------------------------------------------------

LR = Dimension("pretrain.lr", Range(low=1e-4, high=1e-2, scale="log"), is_whole=False)
BEST = {"people": -3.3, "random": -2.7}  # log10 of the best learning rate: mirrored, so procedures are equal
SPREAD = 0.8  # points, of a difference over seeds
TUNED = ((0.5, 4.0), (2.0, 4.0), (0.5, 8.0))  # validation noise; points lost at a decade from the best
STUDIES_OF_ARM = (3, 5, 9)
NUM_RESAMPLES = 200


def tuning_rows(cells: Cells) -> Iterator[Row]:
    """Yield the coverage of the intervals with chosen settings held fixed, and with studies resampled."""
    for studies in STUDIES_OF_ARM:
        for noise, curvature in TUNED:
            for num_seeds in (3, 6):
                counts = cells.find(
                    f"tuning/{studies}/{noise}/{curvature}/{num_seeds}",
                    NUM_TUNINGS,
                    _count_tuned,
                    studies,
                    noise,
                    curvature,
                    num_seeds,
                )
                rates = [share(counts[name], counts["num"]) for name in ("chosen", "fixed", "resampled")]
                if studies < MIN_SEARCHES:
                    rates[-1] = ""
                yield str(studies), f"{noise:g}", f"{curvature:g}", str(num_seeds), *rates


def _count_tuned(
    rng: np.random.Generator, num: int, studies: int, noise: float, curvature: float, num_seeds: int
) -> Counts:
    counts = Counter(chosen=0, fixed=0, resampled=0)
    for number in range(num):
        config = TuneConfig(measure="top1", searches=studies, seed=number)
        (own, best), (other, best_other) = (_tune(rng, arm, noise, curvature, config) for arm in BEST)
        truth = other - own  # at the chosen settings
        fixed = estimate((truth + SPREAD * rng.standard_normal(num_seeds)).tolist())
        drawn = rng.integers(studies, size=(NUM_RESAMPLES, MIN_SEARCHES))  # as `cover_searches`
        medians = np.median(best[drawn], axis=1) - np.median(best_other[drawn], axis=1)
        wide = widen(fixed, float(medians.var(ddof=1)), studies, CONFIDENCE)
        counts.update(
            chosen=_contains(fixed, truth), fixed=_contains(fixed, 0.0), resampled=_contains(wide, 0.0)
        )
    return dict(counts)


def _contains(value: Estimate, truth: float) -> bool:
    return value.low is not None and value.high is not None and value.low <= truth <= value.high


def _tune(
    rng: np.random.Generator, arm: str, noise: float, curvature: float, config: TuneConfig
) -> tuple[float, np.ndarray]:
    """Return the points below the best at an arm's chosen settings, and the best validation score of each study."""
    points = Tuning(config, None, (LR,)).points()  # type: ignore[arg-type]
    lost = [curvature * (math.log10(point[LR.path]) - BEST[arm]) ** 2 for point in points]
    values = (-np.array(lost) + noise * rng.standard_normal(len(lost))).tolist()
    trials = tuple(Trial(arm, i, {}, value=v, rank=v) for i, v in enumerate(values))
    search = Search(arm, config, trials)
    return lost[search.median().number], np.array([t.rank for t in search.best_after(config.trials)])


STUDIES = {
    "yardsticks": Study(
        ("tolerance", "seeds", "deviation over seeds", *(f"mean off by {offset:g}" for offset in OFFSETS)),
        published_rows,
    ),
    "tuning": Study(
        (
            "studies", "validation noise", "points lost at 10 or 1/10 times the best value", "seeds", "at the chosen settings",
            "of procedures, held fixed", "of procedures, resampled",
        ),
        tuning_rows,
    ),
}  # fmt: skip
