"""Coverage of the interval over seeds and images, for new seeds and new images.

An arm and a reference classify P images in S seeds. The logit of the probability that an image is classified
correctly is the sum of the image's difficulty, the arm's lead, the arm's effect on the image, the run's level,
and the run's effect on the image. The true difference is the mean over all seeds and images.
"""

from __future__ import annotations

# S seeds, P images
from collections.abc import Iterator

import numpy as np
from calibration_counts import Cells, Counts, Row, Study, share
from scipy import special

from perceptinit.analysis.intervals import estimate_two_way, find_components
from perceptinit.analysis.statistics import estimate

NUM = 2_000
NUM_IMAGES = (50, 100, 1_000, 5_000)
NUM_SEEDS = (3, 5, 10)
EFFECTS = (0.25, 0.5, 1.0)  # logits, standard deviation over images
# logits: mean and deviation of the images' difficulty, the arm's lead; deviations of a run's level and of a run
# on an image
MEAN, DIFFICULTY, LEAD, RUN, RUN_ON_IMAGE = 0.5, 1.5, 0.25, 0.03, 0.6


def true_difference(effect: float, lead: float = LEAD, mean: float = MEAN) -> float:
    """Return the difference of the means over all seeds and images."""
    other = DIFFICULTY**2 + RUN**2 + RUN_ON_IMAGE**2
    return _mean_share(mean + lead, other + effect**2) - _mean_share(mean, other)


def _mean_share(mean: float, variance: float) -> float:
    """Return the mean of the logistic function of a normal value, by Gauss-Hermite quadrature."""
    nodes, weights = np.polynomial.hermite.hermgauss(80)
    return float(weights @ special.expit(mean + np.sqrt(2 * variance) * nodes) / np.sqrt(np.pi))


def draw_correct(rng: np.random.Generator, num_seeds: int, logits: np.ndarray) -> np.ndarray:
    """Return which images the runs of an arm classify correctly, 0 or 1, shape (S, P). logits: shape (P,)."""
    shape = num_seeds, len(logits)
    drawn = rng.random(shape)
    noise = RUN * rng.standard_normal((num_seeds, 1)) + RUN_ON_IMAGE * rng.standard_normal(shape)
    return (drawn < special.expit(logits + noise)).astype(np.float64)


def draw_differences(rng: np.random.Generator, num_seeds: int, num_images: int, effect: float) -> np.ndarray:
    """Return arm minus reference of one experiment, shape (S, P), in {-1, 0, 1}."""
    difficulty = MEAN + DIFFICULTY * rng.standard_normal(num_images)
    arm = difficulty + LEAD + effect * rng.standard_normal(num_images)
    return draw_correct(rng, num_seeds, arm) - draw_correct(rng, num_seeds, difficulty)


def count(rng: np.random.Generator, num: int, num_seeds: int, num_images: int, effect: float) -> Counts:
    """Return how often both intervals contain the truth, and their median widths in points."""
    truth, images = true_difference(effect), np.arange(num_images)[:, None]
    found = []
    for _ in range(num):
        differences = draw_differences(rng, num_seeds, num_images, effect)
        parts = find_components(differences, images)
        assert parts is not None
        found.append((estimate_two_way(parts), estimate(differences.mean(axis=1).tolist())))
    both, seeds = zip(*found, strict=True)
    return {
        "covered": sum(e.low <= truth <= e.high for e in both),
        "covered_seeds": sum(e.low <= truth <= e.high for e in seeds),
        "width": round(100 * float(np.median([e.high - e.low for e in both])), 3),
        "width_seeds": round(100 * float(np.median([e.high - e.low for e in seeds])), 3),
    }


def rows(cells: Cells) -> Iterator[Row]:
    """Yield one row for each number of images and of seeds, with all image effects."""
    for num_images in NUM_IMAGES:
        for num_seeds in NUM_SEEDS:
            found = [
                cells.find(
                    f"pictures/{num_images}/{num_seeds}/{effect}",
                    NUM,
                    count,
                    num_seeds,
                    num_images,
                    effect,
                )
                for effect in EFFECTS
            ]
            yield (
                f"{num_images:,}",
                str(num_seeds),
                *(share(c["covered"], c["num"]) for c in found),
                ", ".join(f"{100 * c['covered_seeds'] / c['num']:.0f}" for c in found),
                "; ".join(f"{c['width']:.1f} / {c['width_seeds']:.1f}" for c in found),
            )


STUDIES = {  # the name of a study seeds its draws, so the stored counts keep "pictures"
    "pictures": Study(
        (
            "images", "seeds", *(f"coverage, effect {e:g}" for e in EFFECTS), "seeds only",
            "median width: both / seeds only",
        ),
        rows,
    )
}  # fmt: skip
