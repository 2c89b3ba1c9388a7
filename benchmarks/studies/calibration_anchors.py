"""Coverage of intervals of scores on judgments with few anchors, for new anchors.

A model agrees with a vote with a probability that depends on the anchor. Anchors have 5 to 15 judgments of one to
five votes. The true score is the mean probability over anchors, weighted by their numbers of votes.
"""

from __future__ import annotations

# N judgments
from collections.abc import Iterator

import numpy as np
from calibration_counts import Cells, Counts, Row, Study, share

from perceptinit.analysis.intervals import estimate_two_way, find_item_components
from perceptinit.judgments.scoring import binomial_stderr, held_out_error

NUM = 2_000
NUM_ANCHORS = (2, 5, 10, 30, 100)
EFFECTS = (0.0, 0.1)  # standard deviation of the probability over anchors
AGREEMENT = 0.7
NUM_IMAGES = 300  # candidates
Z_95 = 1.96


def count(rng: np.random.Generator, num: int, num_anchors: int, effect: float) -> Counts:
    """Return how often intervals contain the truth, of a score and of a difference of two models."""
    covered = shown = both = narrow = 0
    halves = []
    for _ in range(num):
        anchors = np.repeat(np.arange(num_anchors), rng.integers(5, 16, num_anchors))
        candidates = num_anchors + rng.integers(NUM_IMAGES, size=(2, len(anchors)))
        votes = rng.integers(1, 6, len(anchors))
        values = []
        for _ in range(2):  # two models of equal scores
            p = (AGREEMENT + effect * rng.uniform(-(3**0.5), 3**0.5, num_anchors))[anchors]
            values.append(rng.binomial(votes, p) / votes)
        images = np.stack([anchors, *candidates])
        error = held_out_error(values[0], "anchor", anchors, anchors, images, votes)
        value = float(np.average(values[0], weights=votes))
        narrow += abs(value - AGREEMENT) <= Z_95 * binomial_stderr(values[0], votes)
        if ends := error.interval(value):
            shown += 1
            covered += ends[0] <= AGREEMENT <= ends[1]
            halves.append((ends[1] - ends[0]) / 2)
            difference = values[0] - values[1]
            places = np.unique(images, return_inverse=True)[1].reshape(images.shape)
            parts = find_item_components(difference, places.T, votes)
            if parts is not None:
                gap = estimate_two_way(parts)
                both += gap.low <= 0 <= gap.high
    return {
        "shown": shown,
        "covered": int(covered),
        "difference": int(both),
        "narrow": int(narrow),
        "half": round(100 * float(np.median(halves)), 3) if halves else 0.0,
    }


def rows(cells: Cells) -> Iterator[Row]:
    """Yield one row for each number of anchors and deviation over anchors."""
    for num_anchors in NUM_ANCHORS:
        for effect in EFFECTS:
            c = cells.find(f"anchors/{num_anchors}/{effect}", NUM, count, num_anchors, effect)
            numbers = [share(c[key], c["num"]) for key in ("covered", "difference")]
            if not c["shown"]:
                numbers = ["too few anchors", "too few anchors"]
            independent = share(c["narrow"], c["num"])
            half = f"{c['half']:.1f}" if c["shown"] else ""
            yield str(num_anchors), f"{100 * effect:.0f}", *numbers, independent, half


STUDIES = {
    "anchors": Study(
        (
            "anchors", "deviation over anchors", "coverage of a score", "coverage of a difference",
            "coverage, independent votes", "median half-width of a score",
        ),
        rows,
    )
}  # fmt: skip
