"""How often usual rules keep a change that does nothing: the last table of docs/calibration.md.

    python benchmarks/studies/home_made_rules.py

A change is scored by one run or two, and a rule decides whether it is kept. No change has an effect, so each kept one
is a false alarm. Scores are normal, with equal spread; rates do not depend on it. The verdict of `compare` is Student's
t interval of five seeds, paired, and simultaneous over all changes (Dunnett's is narrower).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from calibration_counts import share
from scipy import stats

from perceptinit.seeding import generator

sys.path.append(str(Path(__file__).parents[1]))
import bench

# E experiments, C changes, S seeds
CHANGES = (1, 5, 20)
SEEDS = 5
MOST_FALSE = 0.05
Draw = Callable[..., np.ndarray]
Rule = Callable[[Draw, int], np.ndarray]


def any_gain(draw: Draw, num: int) -> np.ndarray:
    """Return whether any of `num` changes is kept in each experiment, shape (E,), from one run each."""
    return (draw(num) > draw(1)).any(axis=1)


def twice_the_difference(draw: Draw, num: int) -> np.ndarray:
    """Return whether the gain over the mean of two baseline runs is above twice their difference."""
    baselines = draw(2)
    least = baselines.mean(axis=1) + 2 * np.abs(np.diff(baselines, axis=1)[:, 0])
    return (draw(num) > least[:, None]).any(axis=1)


def two_seeds(draw: Draw, num: int) -> np.ndarray:
    """Return whether both seeds of a change are above one run of the baseline."""
    return (draw(num, 2) > draw(1, 1)).all(axis=2).any(axis=1)


def gain_over_mad(draw: Draw, num: int) -> np.ndarray:
    """Return whether the best gain is at least twice the median absolute deviation of all gains from their median."""
    gains = draw(num) - draw(1)
    deviation = np.median(np.abs(gains - np.median(gains, axis=1, keepdims=True)), axis=1)
    return gains.max(axis=1) >= 2 * deviation


def verdict(draw: Draw, num: int) -> np.ndarray:
    """Return whether the interval of five seeds, simultaneous over all changes, is above 0."""
    gains = draw(num, SEEDS) - draw(1, SEEDS)
    half = stats.t.ppf(1 - MOST_FALSE / 2 / num, SEEDS - 1) * gains.std(axis=2, ddof=1) / SEEDS**0.5
    return (gains.mean(axis=2) > half).any(axis=1)


RULES = {
    "it is above the baseline, one run each": any_gain,
    "both of its two runs are above one run of the baseline": two_seeds,
    "its gain over two runs of the baseline is above twice their difference": twice_the_difference,
    "it has the best gain, which is at least two MAD of all gains": gain_over_mad,
    "the interval of `compare` over five paired seeds is above 0": verdict,
}


def write_table(num: int) -> str:
    """Return the rate of experiments with a false alarm, in percent, for each rule and number of changes."""
    columns = [f"{changes} tried" for changes in CHANGES]
    lines = [f"| a change is kept if | {' | '.join(columns)} |", f"|---|{'---:|' * len(columns)}"]
    for name, rule in RULES.items():
        cells = [_count(rule, name, changes, num) for changes in CHANGES]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _count(rule: Rule, name: str, changes: int, num: int) -> str:
    """Return the rate of a rule; empty if it needs several changes."""
    if rule is gain_over_mad and changes == 1:
        return ""
    rng = generator(0, "home-made rules", name, changes)
    kept = rule(lambda *shape: rng.standard_normal((num, *shape)), changes)
    return share(kept.sum(), num)


def main() -> None:
    options = bench.parse(__doc__, num=100_000, tiny={"num": 200})
    print(write_table(options.num))


if __name__ == "__main__":
    main()
