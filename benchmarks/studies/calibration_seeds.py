"""Rates of the verdict's answers on simulated differences over seeds.

The answers are from `verdict.decide` and `verdict.is_beyond_delta`. The unit is the standard deviation of the
difference over seeds, and delta is 1.
"""

from __future__ import annotations

# S seeds
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from calibration_counts import Cells, Counts, Row, Study, share

from perceptinit.analysis.comparison import Difference
from perceptinit.analysis.contrasts import Contrast
from perceptinit.analysis.decisions import Rule
from perceptinit.analysis.intervals import MIN_SEEDS_SIGN_FLIP, max_t_p
from perceptinit.analysis.questions import SIDES
from perceptinit.analysis.statistics import Estimate, estimate
from perceptinit.verdict.verdict import decide, is_beyond_delta

NUM = 10_000
DELTA = 1.0
NUM_SEEDS = (3, 5, 6, 10)
LOOKS = (3, 10)
POWER_EFFECTS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0)

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def _fail_rarely(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return normal values of which one in ten is 8 lower."""
    failed = rng.random(shape) < 0.1
    return (rng.standard_normal(shape) - 8 * failed + 0.8) / np.sqrt(1 + 64 * 0.1 * 0.9)


def _lose_rarely(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return values with little noise, of which one in ten is far lower."""
    lost = rng.random(shape) < 0.1
    return (0.2 * rng.standard_normal(shape) - 8 * lost + 0.8) / np.sqrt(0.04 + 64 * 0.1 * 0.9)


# mean 0, deviation 1
NOISE: dict[str, Draw] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "heavy tails (t, 4 degrees of freedom)": lambda rng, shape: rng.standard_t(4, shape) / np.sqrt(2),
    "lognormal, long tail below": lambda rng, shape: (
        (np.exp(0.5) - rng.lognormal(size=shape)) / np.sqrt((np.e - 1) * np.e)
    ),
    "one seed in ten diverges": _fail_rarely,
    "one seed in ten is lost": _lose_rarely,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """The verdict on a difference: "better", "worse", "equivalent" or "undecided"."""

    outcome: str
    is_beyond: bool
    value: Estimate

    @property
    def is_worth(self) -> bool:
        return self.outcome == "better" and self.is_beyond

    def covers(self, truth: float) -> bool:
        assert self.value.low is not None
        assert self.value.high is not None
        return self.value.low <= truth <= self.value.high


CONTRAST = Contrast("arm", "baseline")


def ask(
    values: Sequence[float],
    rule: Rule,
    floor: float = 0.0,
    num_family: int = 1,
    p_signs: float | None = None,
) -> Answer:
    """Return the verdict on the differences of one contrast.

    floor: least standard deviation. p_signs: of the sign-flip test over the family; of these values if None.
    """
    value = estimate(values, rule.level_for(num_family), floor)
    is_side = rule.decide(value) in SIDES
    if p_signs is None and is_side and len(values) >= MIN_SEEDS_SIGN_FLIP:
        (p_signs,) = max_t_p([values])  # `decide` needs it only here
    difference = Difference(
        contrast=CONTRAST, by_seed=dict(enumerate(values)), value=value,
        relative=None, p_value=None, p_signs=p_signs,
    )  # fmt: skip
    return Answer(decide(difference, rule), is_beyond_delta(difference, rule), value)


def ask_at_looks(values: Sequence[float], rules: Sequence[Rule], first: int) -> tuple[Answer, int]:
    """Return the first answer that is decided, or the last, and its number of seeds. rules: of each look."""
    for num, rule in enumerate(rules, start=first):
        answer = ask(values[:num], rule)
        if answer.outcome != "undecided":
            break
    return answer, num


def _tally(answers: Sequence[Answer], truth: float) -> Counts:
    counts = Counter(answer.outcome for answer in answers)
    return {
        **{name: counts[name] for name in ("better", "worse", "equivalent")},
        "worth": sum(answer.is_worth for answer in answers),
        "covered": sum(answer.covers(truth) for answer in answers),
    }


# --- one look, and looks until decided -------------------------------------------------------------------------


def answers_at(
    cells: Cells, noise: str, num_seeds: int, truth: float, delta: float | None, first: int = 0
) -> Counts:
    """Return the counts of answers. first: seeds of the first look of `--until-decided`, 0 for one look."""

    def count(rng: np.random.Generator, num: int) -> Counts:
        drawn = (truth + NOISE[noise](rng, (num, num_seeds))).tolist()
        rule = Rule(delta, first, num_seeds) if first else Rule(delta)
        rules = [rule] * (num_seeds - first + 1) if first else [rule]
        found = [ask_at_looks(values, rules, first or num_seeds) for values in drawn]
        answers, used = zip(*found, strict=True)
        return _tally(answers, truth) | {"seeds": round(float(np.mean(used)), 2)}

    design = f"{first}-{num_seeds}" if first else str(num_seeds)
    return cells.find(f"seeds/{noise}/{design}/delta {delta}/truth {truth:.4g}", NUM, count)


def error_rows(cells: Cells) -> Iterator[Row]:
    """Yield false answers and coverage for each noise and number of seeds."""
    for noise in NOISE:
        for num, first in (*((n, 0) for n in NUM_SEEDS), (LOOKS[1], LOOKS[0])):
            plain = answers_at(cells, noise, num, 0.0, None, first)
            above, below, large = (
                answers_at(cells, noise, num, truth, DELTA, first) for truth in (DELTA, -DELTA, 2 * DELTA)
            )
            yield (
                noise,
                f"{first} to {num}, until decided" if first else str(num),
                share(plain["better"], plain["num"]),
                share(plain["worse"], plain["num"]),
                share(above["worth"], above["num"]),
                share(below["equivalent"], below["num"]),
                share(plain["covered"], plain["num"]),
                share(large["better"], large["num"]),
            )


def power_rows(cells: Cells) -> Iterator[Row]:
    """Yield the rates at which each effect is judged better and worth it, with normal noise."""
    for effect in POWER_EFFECTS:
        found = [answers_at(cells, "normal", n, effect, DELTA) for n in NUM_SEEDS]
        looks = answers_at(cells, "normal", LOOKS[1], effect, DELTA, LOOKS[0])
        yield (
            f"{effect:g}",
            *(_better_and_worth(counts) for counts in found),
            f"{_better_and_worth(looks)} ({looks['seeds']:.1f} seeds)",
        )


def _better_and_worth(counts: Counts) -> str:
    return f"{100 * counts['better'] / counts['num']:.1f} / {100 * counts['worth'] / counts['num']:.1f}"


STUDIES = {
    "errors": Study(
        (
            "noise", "seeds", "false better", "false worse", "false “worth it”", "false equivalent", "coverage",
            "lead of 2 delta called better",
        ),
        error_rows,
    ),
    "power": Study(
        ("effect", *(f"{n} seeds" for n in NUM_SEEDS), f"{LOOKS[0]} to {LOOKS[1]}, until decided"), power_rows
    ),
}  # fmt: skip
