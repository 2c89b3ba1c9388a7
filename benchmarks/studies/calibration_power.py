"""Promised and simulated power: of `validate`, and of the sentence "N more seeds would decide it".

The contrasts of a family share a baseline, so their noise is correlated. The unit is the standard deviation of
the difference over seeds, and delta is 1.
"""

from __future__ import annotations

# K contrasts, S seeds
from collections import Counter
from collections.abc import Iterator

import numpy as np
from calibration_counts import Cells, Counts, Row, Study, share
from calibration_designs import ask_family

from perceptinit.analysis.decisions import Rule
from perceptinit.analysis.power import Noise, chances, find_effect, seeds_to_decide

NUM = 2_000
NUM_PROMISES = 400
NUM_ARMS = (1, 5, 10)
NUM_SEEDS = (3, 4, 5, 6, 7, 8, 10, 12)
DELTA = 1.0


def draw_family(rng: np.random.Generator, num_arms: int, num_seeds: int) -> np.ndarray:
    """Return differences of equal arms from a common baseline, shape (K, S)."""
    arms = rng.standard_normal((num_arms, num_seeds))
    return (arms - rng.standard_normal(num_seeds)) / np.sqrt(2)


def prediction_rows(cells: Cells) -> Iterator[Row]:
    """Yield the promised and the simulated rates for the effect that `validate` promises to detect."""
    for num_arms in NUM_ARMS:
        for num in NUM_SEEDS:
            c = cells.find(f"predictions/{num_arms}/{num}", NUM, _count_predictions, num_arms, num)
            yield (
                str(num_arms),
                str(num),
                f"{c['effect']:.2f}",
                f"{100 * c['promised']:.1f}",
                share(c["better"], c["num"]),
                f"{100 * c['promised_equivalent']:.1f}",
                share(c["equivalent"], c["num"]),
            )


def _count_predictions(rng: np.random.Generator, num: int, num_arms: int, num_seeds: int) -> Counts:
    noise = Noise(1.0)
    effect = find_effect(lambda x: chances(Rule(), num_seeds, x, noise, num_arms).better, 1.0)
    counts = Counter(better=0, equivalent=0)
    for _ in range(num):
        values = draw_family(rng, num_arms, num_seeds)
        counts["equivalent"] += ask_family(values, Rule(DELTA))[0].outcome == "equivalent"
        values[0] += effect
        counts["better"] += ask_family(values, Rule())[0].outcome == "better"
    return {
        **counts,
        "effect": round(effect, 3),
        "promised": round(chances(Rule(), num_seeds, effect, noise, num_arms).better, 4),
        "promised_equivalent": round(chances(Rule(DELTA), num_seeds, 0.0, noise, num_arms).equivalent, 4),
    }


def promise_rows(cells: Cells) -> Iterator[Row]:
    """Yield how often "N more seeds would decide it with 80 % chance" is true."""
    for num_arms in NUM_ARMS[:2]:
        for first in (3, 5):
            counts = cells.find(
                f"promises/{num_arms}/{first}", NUM_PROMISES, _count_promises, num_arms, first
            )
            yield (
                str(num_arms),
                str(first),
                f"{counts['promised']:,}",
                share(counts["kept"], counts["promised"]),
                f"{counts['without']:,}",
            )


def _count_promises(rng: np.random.Generator, num: int, num_arms: int, first: int) -> Counts:
    rule, counts = Rule(DELTA), Counter(promised=0, kept=0, without=0)
    for _ in range(num):
        truth = rng.uniform(-3, 3, (num_arms, 1))
        values = truth + draw_family(rng, num_arms, first)
        if ask_family(values, rule)[0].outcome != "undecided":
            continue
        more = seeds_to_decide(tuple(map(tuple, values.tolist())), rule)
        if more is None:
            counts["without"] += 1
            continue
        values = np.concatenate([values, truth + draw_family(rng, num_arms, more)], axis=1)
        counts.update(promised=1, kept=ask_family(values, rule)[0].outcome != "undecided")
    return dict(counts)


STUDIES = {
    "predictions": Study(
        (
            "arms", "seeds", "effect", "promised better", "called better", "promised equivalent",
            "called equivalent",
        ),
        prediction_rows,
    ),
    "promises": Study(
        (
            "arms", "first seeds", 'statements "N more seeds"', "decided after N more",
            "undecided without a statement",
        ),
        promise_rows,
    ),
}  # fmt: skip
