"""Power of the decision rule: probabilities of its answers, simulated with a known noise.

Simulated experiments are decided as measured ones are: simultaneous intervals, over images where their
variance is known, at every look, and the sign-flip test of the family.
"""

# P simulated experiments, K contrasts of a family, n seeds
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.special import nctdtr, stdtrit

from perceptinit.analysis.decisions import CONFIDENCE, Rule
from perceptinit.analysis.intervals import MIN_SEEDS_SIGN_FLIP, Components, sign_patterns
from perceptinit.analysis.pooling import level_of_family, pool
from perceptinit.analysis.questions import DECIDED, SIDES, Outcome
from perceptinit.seeding import generator

POWER = 0.8
NUM_EXPERIMENTS = 4_000
MOST_MORE_SEEDS = 20
MOST_SEEDS_SIGN_FLIP = 12
"""With more seeds, the sign-flip test confirms almost every decision by intervals."""
CHUNK = 1 << 22  # elements of an array of sums
ROUNDING = 1e-5


class Chances(NamedTuple):
    """Probabilities of the answers at the last look, or at any look of a plan with several."""

    better: float
    equivalent: float
    decided: float


@dataclass(frozen=True, slots=True)
class Noise:
    """Noise of a mean difference, in the unit of the score.

    Attributes:
        seeds: Standard deviation over seeds, or posterior samples of it, shape (P,).
        parts: Variance components of measured differences; None if only the noise over seeds is known.
    """

    seeds: float | np.ndarray
    parts: Components | None = None

    @property
    def beyond_seeds(self) -> float:
        """Variance over images and people, which further seeds do not reduce."""
        return max(self.parts.images - self.parts.both, 0.0) + self.parts.people if self.parts else 0.0

    def at(self, num: int, variances: np.ndarray) -> Components:
        """Return the components of means over `num` seeds, given their variances over seeds, shape (P,)."""
        if self.parts is None:
            return Components(0.0, variances, 0.0, 0.0, num, 0)
        both = self.parts.both * self.parts.num_seeds / num
        images = self.parts.images - self.parts.both + both
        return replace(self.parts, seeds=variances, images=images, both=both, num_seeds=num)


def noise_of(by_seed: Sequence[float], parts: Components | None = None) -> Noise:
    """Return the noise of a measured difference, with posterior samples of the deviation over seeds.

    Assumes normal values and a flat prior on the log standard deviation.

    Args:
        by_seed: Values of at least two seeds.
        parts: Variance components of the difference, if known.
    """
    degrees = len(by_seed) - 1
    drawn = generator(0, "deviation").chisquare(degrees, NUM_EXPERIMENTS)
    return Noise(np.std(by_seed, ddof=1) * np.sqrt(degrees / drawn), parts)


def chances(rule: Rule, num: int, effect: float, noise: Noise, num_family: int = 1) -> Chances:
    """Return the probabilities of the answers for a true difference, accurate to about 1 point.

    Args:
        rule: Decision rule.
        num: Number of seeds at the final analysis.
        effect: True difference, in the unit of the rule's delta.
        noise: Noise of the difference.
        num_family: Number of contrasts with simultaneous intervals. The others have no difference.
    """
    values = _draw("power", max(num_family, rule.num_pooled - 1), num) * np.reshape(noise.seeds, (-1, 1, 1))
    shifts = generator(0, "images").standard_normal((NUM_EXPERIMENTS, 1))
    values[:, 0] += effect + math.sqrt(noise.beyond_seeds) * shifts
    first = max(rule.first, 2) if rule.is_repeated else num
    *_, last = _look(rule, values, range(first, num + 1), noise, num_family)
    return last


def find_effect(power: Callable[[float], float], unit: float) -> float:
    """Return the true difference that is detected with 80 % probability, to 0.01 units.

    Args:
        power: Probability that a true difference is detected.
        unit: Positive difference of the size of the noise.
    """
    from scipy.optimize import brentq

    high = unit
    while power(high) < POWER:
        high *= 2
    return float(brentq(lambda effect: power(effect) - POWER, 0.0, high, xtol=0.01 * unit))


@cache
def seeds_to_decide(
    values: tuple[tuple[float, ...], ...],
    rule: Rule,
    parts: Components | None = None,
    num_family: int = 1,
    is_one_sided: bool = False,
) -> int | None:
    """Return how many more seeds decide a difference with 80 % probability; None if above the maximum.

    True differences and deviations over seeds are drawn from their posterior, given the seeds so far.

    Args:
        values: Differences by seed of the contrast, then of the others of its family, for the same seeds.
        rule: Decision rule.
        parts: Variance components of the contrast, if known.
        num_family: Number of contrasts of the family, if it is larger than that of `values`.
        is_one_sided: Whether "better" is the only answer that counts.
    """
    known = np.asarray(values)
    num_known, num = known.shape
    most = MOST_MORE_SEEDS if rule.last is None else rule.last - num
    if most < 1 or num < 2:
        return None
    drawn = _draw("seeds to decide", num_known, most + 1)
    new = np.empty((NUM_EXPERIMENTS, num_known, most))
    for k, row in enumerate(known):
        deviations = np.reshape(noise_of(row.tolist()).seeds, (-1, 1))
        new[:, k] = row.mean() + deviations * (drawn[:, k, :1] / math.sqrt(num) + drawn[:, k, 1:])
    both = np.concatenate([np.broadcast_to(known, (NUM_EXPERIMENTS, *known.shape)), new], axis=2)
    looks = _look(
        rule, both, range(num + 1, num + most + 1), noise_of(values[0], parts), max(num_known, num_family)
    )
    found = (each.better if is_one_sided else each.decided for each in looks)
    return next((more for more, power in enumerate(found, start=1) if power >= POWER), None)


@cache
def noncentrality(degrees: float, alpha: float = 0.05) -> float:
    """Return the true difference, in standard errors, that a t test detects with probability `POWER`.

    Source: power of the t test by the noncentral t distribution (Cohen 1988, ch. 2).
    """
    critical = stdtrit(degrees, 1 - alpha / 2)
    return find_effect(lambda shift: 1 - float(nctdtr(degrees, shift, critical)), 1.0)


@cache
def detected_by_signs(num: int, confidence: float, num_family: int) -> float:
    """Return the true difference, in deviations over seeds, that intervals and sign-flip tests detect.

    Returns 0 if the sign-flip test does not apply.
    """
    if not MIN_SEEDS_SIGN_FLIP <= num <= MOST_SEEDS_SIGN_FLIP:
        return 0.0
    noise = _draw("power", num_family, num)
    first = np.eye(num_family)[0][:, None]

    def power(effect: float) -> float:
        found = _decide(Rule(), confidence, noise + effect * first, Noise(1.0), num_family)
        return float(found[Outcome.BETTER].mean())

    return find_effect(power, 1.0)


def _draw(name: str, num_family: int, num: int) -> np.ndarray:
    """Return standard normal noise of contrasts with a common baseline, shape (P, K, num)."""
    drawn = generator(0, name).standard_normal((NUM_EXPERIMENTS, num_family + 1, num))
    return drawn[:, 1:] if num_family == 1 else (drawn[:, 1:] - drawn[:, :1]) / math.sqrt(2)


def _look(
    rule: Rule, values: np.ndarray, numbers: Iterable[int], noise: Noise, num_family: int
) -> Iterator[Chances]:
    """Yield the probabilities of the answers at each number of seeds; those of looks accumulate.

    Args:
        rule: Decision rule.
        values: Differences by seed of the contrast, then of the others of its family and of other arms whose
            spread is pooled, shape (P, K, n).
        numbers: Numbers of seeds.
        noise: Noise of the contrast.
        num_family: Number of contrasts with simultaneous intervals.
    """
    confidence = rule.level_for(num_family)
    earlier = dict.fromkeys(DECIDED, np.zeros(len(values), bool))
    for num in numbers:
        found = _decide(rule, confidence, values[:, :, :num], noise, num_family)
        if rule.is_repeated:
            is_open = ~np.any([*earlier.values()], axis=0)
            earlier = found = {name: earlier[name] | (is_open & found[name]) for name in found}
        better = float(found[Outcome.BETTER].mean())
        equivalent = float(found[Outcome.EQUIVALENT].mean())
        yield Chances(better, equivalent, better + equivalent + float(found[Outcome.WORSE].mean()))


def _decide(
    rule: Rule, confidence: float, values: np.ndarray, noise: Noise, num_family: int
) -> dict[Outcome, np.ndarray]:
    """Return which experiments have each outcome, shape (P,), as `verdict.decide`."""
    num = values.shape[2]
    means = values[:, 0].mean(axis=1)
    parts = noise.at(num, values[:, 0].var(axis=1, ddof=1) / num)
    half = stdtrit(parts.degrees, 0.5 + confidence / 2) * np.sqrt(parts.variance)
    if rule.num_pooled:
        pooled = pool(np.concatenate([np.zeros_like(values[:, :1]), values], axis=1))
        common = replace(noise.at(num, pooled.deviation**2 / num), seed_degrees=pooled.degrees)
        is_joint = num_family > 1 and noise.parts is None
        level = level_of_family(num_family, pooled.degrees) if is_joint else confidence
        wide = stdtrit(common.degrees, 0.5 + level / 2) * np.sqrt(common.variance)
        half = np.where(pooled.is_equal, wide, np.maximum(wide, half))
    found = rule.classify(means - half, means + half)
    for side in SIDES:
        found[side] = found[side] & ~found[Outcome.EQUIVALENT]
        if MIN_SEEDS_SIGN_FLIP <= num <= MOST_SEEDS_SIGN_FLIP:
            found[side][found[side]] = _is_confirmed(values[found[side], :num_family])
    return found


def _is_confirmed(values: np.ndarray) -> np.ndarray:
    """Return whether the sign-flip test of the first contrast has p <= 0.05, as `intervals.max_t_p`."""
    signs = sign_patterns(values.shape[2]).T.astype(np.float32)  # the first pattern has the observed signs
    rows = max(CHUNK // (values.shape[1] * signs.shape[1]), 1)
    confirmed = [np.zeros(0, bool)]
    for i in range(0, len(values), rows):
        part = values[i : i + rows].astype(np.float32)
        # |t| of a contrast grows with this share, because flips keep the sum of squares
        shares = np.square(part @ signs) / np.square(part).sum(axis=2, keepdims=True)
        is_larger = shares.max(axis=1) >= shares[:, 0, :1] * (1 - ROUNDING)
        confirmed.append(is_larger.mean(axis=1) <= 1 - CONFIDENCE)
    return np.concatenate(confirmed)
