"""Rates of `compare --when`: when does a lead emerge, and does it last, with 32 correlated evaluations?"""

from __future__ import annotations

# E experiments, K evaluations, S seeds
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from calibration_counts import Cells, Counts, Row, Study, share

from perceptinit.analysis.emergence import find_emergence

NUM = 2_000
NUM_LOOKS = 32
NEXT = 0.9  # correlation of two consecutive evaluations of a run
SHARED = 0.5  # share of the variance that all evaluations of a run have in common
SEEDS = (3, 5, 7, 10)
LEAD = 2.0  # standard deviations of the difference over seeds

Course = Callable[[np.ndarray], np.ndarray]  # share of the training -> true lead
COURSES: Mapping[str, Course] = {
    "none": lambda share: 0 * share,
    "in the second half": lambda share: LEAD * (share > 0.5),
    "in the last eighth": lambda share: LEAD * (share > 0.875),
    "throughout": lambda share: LEAD + 0 * share,
    "in the first half": lambda share: LEAD * (share <= 0.5),
    "falls from 4 to 1": lambda share: LEAD * (2 - 1.5 * share),
}


def when_rows(cells: Cells) -> Iterator[Row]:
    """Yield rates of emergence, false emergence, fading and limits by true course and number of seeds."""
    for course in COURSES:
        for num_seeds in SEEDS:
            counts = cells.find(f"when/{course}/{num_seeds}", NUM, count_courses, course, num_seeds)
            names = ("emerged", "early", "fading", "late", "below")
            yield course, str(num_seeds), *(share(counts[name], counts["num"]) for name in names)


def count_courses(rng: np.random.Generator, num: int, course: str, num_seeds: int) -> Counts:
    """Count the answers. early: emerged before the true emergence. below: true emergence below the lower limit."""
    lead = COURSES[course](np.arange(1, NUM_LOOKS + 1) / NUM_LOOKS)
    first = find_true_emergence(lead)
    counts = Counter(emerged=0, early=0, fading=0, late=0, below=0)
    for noise in draw_noise(rng, num, num_seeds):
        values = lead[:, None] + noise
        found = find_emergence(dict(enumerate(values.tolist(), start=1)))
        assert found is not None
        emerged = found.emerged is not None
        counts.update(
            emerged=emerged,
            early=emerged and (first is None or (found.emerged or 0) < first),
            fading=found.peak is not None,
            late=found.is_late,
            below=first is not None and (found.not_before is None or found.not_before > first),
        )
    return dict(counts)


def find_true_emergence(lead: np.ndarray) -> int | None:
    """Return the number of the evaluation from which the true lead stays above 0; None if it ends at 0."""
    behind = np.flatnonzero(lead <= 0) + 1
    if behind.size and behind[-1] == len(lead):
        return None
    return int(behind[-1]) + 1 if behind.size else 1


def draw_noise(rng: np.random.Generator, num: int, num_seeds: int) -> np.ndarray:
    """Return deviations (E, K, S) with a standard deviation of 1, correlated over the evaluations of a run."""
    drawn = rng.standard_normal((num, NUM_LOOKS, num_seeds))
    steps = drawn[:, 0]
    parts = [steps]
    for look in range(1, NUM_LOOKS):
        steps = NEXT * steps + np.sqrt(1 - NEXT**2) * drawn[:, look]
        parts.append(steps)
    shared = rng.standard_normal((num, 1, num_seeds))
    return np.sqrt(SHARED) * shared + np.sqrt(1 - SHARED) * np.stack(parts, axis=1)


STUDIES = {
    "when": Study(
        ("true lead", "seeds", "emerged", "emerged too early", "fading", "late", "lower limit too late"),
        when_rows,
    ),
}
