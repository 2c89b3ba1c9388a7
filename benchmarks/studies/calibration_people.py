"""Coverage of the interval over seeds, images and people, for new ones of each.

People answer questions about three images. In each seed, an arm and a reference agree with an answer or not.
The probability of agreement depends on the question, and the lead of the arm on the anchor image, the seed and
the person. The true difference is the mean over all of them, and its variance is known.
"""

from __future__ import annotations

# S seeds, N answers, M people
from collections.abc import Iterator

import numpy as np
from calibration_counts import Cells, Counts, Row, Study, share

from perceptinit.analysis.intervals import estimate_two_way, find_components

NUM = 1_000
NUM_PEOPLE = (5, 20, 100)
EFFECTS = (0.0, 0.02, 0.06)  # standard deviation over people
LEAD, OF_IMAGES, OF_SEEDS = 0.05, 0.05, 0.02  # mean lead; its deviations over anchors and seeds
NUM_SEEDS, NUM_QUESTIONS, NUM_IMAGES = 5, 100, 200  # questions of a person
LIKELY = 0.8  # share of the answers that both models are likely to agree with
Z_95 = 1.96


def draw_answers(
    rng: np.random.Generator, num_people: int, effect: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return arm minus reference, shape (S, N), in {-1, 0, 1}, the images, (N, 3), and the people, (N,)."""
    people = np.repeat(np.arange(num_people), NUM_QUESTIONS)
    images = rng.permuted(np.tile(np.arange(NUM_IMAGES), (len(people), 1)), axis=1)[:, :3]
    lead = LEAD + effect * rng.standard_normal(num_people)[people]
    lead += OF_IMAGES * rng.standard_normal(NUM_IMAGES)[images[:, 0]]
    agreement = np.where(rng.random(len(people)) < LIKELY, 0.75, 0.25)
    half = (lead + OF_SEEDS * rng.standard_normal((NUM_SEEDS, 1))) / 2
    arm, reference = (rng.random(half.shape) < agreement + side * half for side in (1, -1))
    return arm.astype(np.float64) - reference, images, people


def count(rng: np.random.Generator, num: int, num_people: int, effect: float) -> Counts:
    """Return how often the intervals with and without people contain the truth, and median half-widths."""
    found = []
    for _ in range(num):
        values, images, people = draw_answers(rng, num_people, effect)
        parts = [find_components(values, images, people=each) for each in (people, None)]
        found.append([estimate_two_way(each) for each in parts if each])
    both, pooled = zip(*found, strict=True)
    deviation = np.std([each.mean for each in both])
    return {
        "covered": sum(e.low <= LEAD <= e.high for e in both),
        "covered_pooled": sum(e.low <= LEAD <= e.high for e in pooled),
        "half": round(100 * float(np.median([e.high - e.low for e in both])) / 2, 3),
        "stderr": round(float(np.median([e.stderr for e in both]) / deviation), 3),
        "known": round(100 * Z_95 * float(deviation), 3),
    }


def rows(cells: Cells) -> Iterator[Row]:
    """Yield one row for each number of people and deviation over people."""
    for num_people in NUM_PEOPLE:
        for effect in EFFECTS:
            name = f"people/{num_people}/{effect}"
            c = cells.find(name, NUM if num_people < 100 else NUM // 2, count, num_people, effect)
            yield (
                str(num_people),
                f"{100 * effect:.0f}",
                share(c["covered"], c["num"]),
                share(c["covered_pooled"], c["num"]),
                f"{c['half']:.1f}",
                f"{c['half'] / c['known']:.2f}",
                f"{c['stderr']:.2f}",
            )


STUDIES = {
    "people": Study(
        (
            "people", "deviation over people", "coverage", "coverage, pooled votes", "median half-width",
            "of that with a known variance", "median standard error / true",
        ),
        rows,
    )
}  # fmt: skip
