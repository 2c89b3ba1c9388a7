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
from perceptinit.analysis.decisions import Rule, seeds_to_decide
from perceptinit.analysis.intervals import MIN_SEEDS_SIGN_FLIP, max_t_p
from perceptinit.analysis.statistics import Estimate, estimate, noncentrality
from perceptinit.verdict.prospects import chances
from perceptinit.verdict.verdict import decide, is_beyond_delta

NUM = 10_000
NUM_PROMISES = 2_000
DELTA = 1.0
NUM_SEEDS = (3, 5, 6, 10)
LOOKS = (3, 10)
POWER_EFFECTS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0)

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def _fail_rarely(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return normal values of which one in ten is 8 lower."""
    failed = rng.random(shape) < 0.1
    return (rng.standard_normal(shape) - 8 * failed + 0.8) / np.sqrt(1 + 64 * 0.1 * 0.9)


# mean 0, deviation 1
NOISE: dict[str, Draw] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "heavy tails (t, 4 degrees of freedom)": lambda rng, shape: rng.standard_t(4, shape) / np.sqrt(2),
    "lognormal, long tail below": lambda rng, shape: (
        (np.exp(0.5) - rng.lognormal(size=shape)) / np.sqrt((np.e - 1) * np.e)
    ),
    "one seed in ten diverges": _fail_rarely,
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


OUTCOMES = {"above": "better", "below": "worse", "equivalent": "equivalent", None: "undecided"}
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
    is_side = rule.decide(value) in ("above", "below")
    if p_signs is None and is_side and len(values) >= MIN_SEEDS_SIGN_FLIP:
        (p_signs,) = max_t_p([values])  # `decide` needs it only here
    difference = Difference(
        contrast=CONTRAST, by_seed=dict(enumerate(values)), value=value,
        relative=None, p_value=None, detectable=None, p_signs=p_signs,
    )  # fmt: skip
    outcome = OUTCOMES[decide(difference, rule)]
    return Answer(outcome, is_beyond_delta(difference, rule), value)


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


def prediction_rows(cells: Cells) -> Iterator[Row]:
    """Yield the predictions of `validate` and the observed rates, with normal noise."""
    for num in NUM_SEEDS:
        found = float(noncentrality(num - 1) / np.sqrt(num))
        plain = answers_at(cells, "normal", num, found, None)
        none = answers_at(cells, "normal", num, 0.0, DELTA)
        yield (
            str(num),
            f"{found:.2f}",
            f"{100 * chances(Rule(), num, found, 1.0).better:.1f}",
            share(plain["better"], plain["num"]),
            f"{100 * chances(Rule(DELTA), num, 0.0, 1.0).equivalent:.1f}",
            share(none["equivalent"], none["num"]),
        )


def promise_rows(cells: Cells) -> Iterator[Row]:
    """Yield how often "N more seeds would decide it with 80 % chance" is true."""
    for first in (3, 5):
        counts = cells.find(f"promises/{first}", NUM_PROMISES, _count_promises, first)
        yield (
            str(first),
            f"{counts['promised']:,}",
            share(counts["kept"], counts["promised"]),
            f"{counts['without']:,}",
        )


def _count_promises(rng: np.random.Generator, num: int, first: int) -> Counts:
    rule, counts = Rule(DELTA), Counter(promised=0, kept=0, without=0)
    for _ in range(num):
        truth = rng.uniform(-3, 3)
        values = (truth + rng.standard_normal(first)).tolist()
        if ask(values, rule).outcome != "undecided":
            continue
        more = seeds_to_decide(tuple(values), rule)
        if more is None:
            counts["without"] += 1
            continue
        values += (truth + rng.standard_normal(more)).tolist()
        counts.update(promised=1, kept=ask(values, rule).outcome != "undecided")
    return dict(counts)


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
    "predictions": Study(
        (
            "seeds", "effect", "predicted better", "called better", "predicted equivalent", "called equivalent",
        ),
        prediction_rows,
    ),
    "promises": Study(
        ("first seeds", 'statements "N more seeds"', "decided after N more", "undecided without a statement"),
        promise_rows,
    ),
}  # fmt: skip
