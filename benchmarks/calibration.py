"""How often the verdict is wrong: rates of its answers on simulated differences whose truth is known.

    python benchmarks/calibration.py --out docs/calibration.md

Every experiment draws a difference per seed and asks the code that makes the tables (`estimate`, `Rule.decide`,
`seeds_to_decide`). 10,000 experiments per line, always the same ones; about a minute on one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import calibration_runs
import numpy as np
from calibration_runs import share, table

from perceptinit.reports.planning.prospects import chances
from perceptinit.reports.statistics import estimate, noncentrality
from perceptinit.reports.verdicts.decisions import Rule, seeds_to_decide
from perceptinit.seeding import generator

DELTA = 1.0  # in standard deviations of the difference over seeds, as all effects here
ONE_LOOK = (3, 5, 10)
LOOKS = ((3, 10), (5, 10))
EFFECTS = (0.0, DELTA, 2 * DELTA)
POWER_EFFECTS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0)


def _collapse(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return normal values of which one in 20 is drawn six times as wide, as where a run nearly fails."""
    wide = np.where(rng.random(shape) < 0.05, 6.0, 1.0)
    return wide * rng.standard_normal(shape) / np.sqrt(0.95 + 0.05 * 36)


# deviation 1, mean 0
SHAPES: dict[str, Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "heavy tails (t, 4 degrees of freedom)": lambda rng, shape: rng.standard_t(4, shape) / np.sqrt(2),
    "skewed (exponential)": lambda rng, shape: rng.exponential(size=shape) - 1,
    "one seed in 20 six times as far": _collapse,
}


@dataclass(frozen=True)
class Rates:
    """Numbers of experiments by their answer; `seeds`: used on average, `covered`: interval holds the truth."""

    num: int
    above: int
    below: int
    equivalent: int
    covered: int
    seeds: float


def experiment(values: Sequence[float], rule: Rule, truth: float) -> tuple[str | None, int, bool]:
    """Return the answer, the seeds that it took, and whether the last interval holds the truth."""
    first, last = (rule.first, rule.last) if rule.last else (len(values), len(values))
    for num in range(first, last + 1):
        value = estimate(values[:num], rule.confidence)
        decision = rule.decide(value)
        if decision is not None or num == last:
            break
    return decision, num, value.low <= truth <= value.high


def rates(shape: str, rule: Rule, num_seeds: int, truth: float, num: int) -> Rates:
    """Return the answers of `num` experiments with `num_seeds` seeds at most."""
    rng = generator(0, "calibration", shape, num_seeds, rule.first, f"{truth:g}")
    differences = truth + SHAPES[shape](rng, (num, num_seeds))
    found = [experiment(values, rule, truth) for values in differences.tolist()]
    answers = [answer for answer, _, _ in found]
    return Rates(
        num,
        answers.count("above"),
        answers.count("below"),
        answers.count("equivalent"),
        sum(covered for _, _, covered in found),
        float(np.mean([seeds for _, seeds, _ in found])),
    )


def error_rows(num: int) -> Iterator[tuple[str, ...]]:
    """Yield one row per design and shape: false answers, coverage, and what a real effect comes to."""
    for delta in (None, DELTA):
        designs = [(n, Rule(delta)) for n in ONE_LOOK]
        designs += [(last, Rule(delta, first, last)) for first, last in LOOKS]
        for num_seeds, rule in designs:
            for shape in SHAPES if delta else ("normal",):
                yield _error_row(shape, rule, num_seeds, num)


def _error_row(shape: str, rule: Rule, num_seeds: int, num: int) -> tuple[str, ...]:
    name = f"{rule.first} to {rule.last}, until decided" if rule.last else str(num_seeds)
    none, edge, real = (rates(shape, rule, num_seeds, effect, num) for effect in EFFECTS)
    return (
        name if rule.delta else f"{name}; no delta",
        shape,
        share(none.above, num),
        share(none.below, num),
        share(edge.equivalent, num) if rule.delta else "",
        share(sum(r.covered for r in (none, edge, real)), 3 * num),
        share(real.above, num),
        f"{none.seeds:.1f}, {edge.seeds:.1f}, {real.seeds:.1f}",
    )


def power_rows(num: int) -> Iterator[tuple[str, ...]]:
    """Yield what `validate` predicts beside what happens, with normal noise."""
    for num_seeds in ONE_LOOK:
        rule = Rule(DELTA)
        found = noncentrality(num_seeds - 1) / np.sqrt(num_seeds)
        plain = rates("normal", Rule(), num_seeds, float(found), num)
        none = rates("normal", rule, num_seeds, 0.0, num)
        yield (
            str(num_seeds),
            f"{found:.2f}",
            share(plain.above, num),
            f"{100 * chances(rule, num_seeds, 0.0, 1.0).equivalent:.1f}",
            share(none.equivalent, num),
        )


def curve_rows(num: int) -> Iterator[tuple[str, ...]]:
    """Yield the share of experiments that find each effect better."""
    for effect in POWER_EFFECTS:
        plain = [rates("normal", Rule(DELTA), n, effect, num).above for n in ONE_LOOK]
        looks = [rates("normal", Rule(DELTA, a, b), b, effect, num) for a, b in LOOKS]
        yield (
            f"{effect:g}",
            *(f"{100 * count / num:.1f}" for count in plain),
            *(f"{100 * r.above / num:.1f} ({r.seeds:.1f} seeds)" for r in looks),
        )


def promise_rows(num: int) -> Iterator[tuple[str, ...]]:
    """Yield how often `N more seeds would decide it with 80 % chance` comes true, after undecided first seeds."""
    for num_seeds in (3, 5):
        rule, rng = Rule(DELTA), generator(0, "calibration", "promise", num_seeds)
        kept = promised = without = 0
        for _ in range(num):
            truth = float(rng.uniform(-3, 3))
            values = (truth + rng.standard_normal(num_seeds)).tolist()
            if rule.decide(estimate(values)) is not None:
                continue
            more = seeds_to_decide(tuple(values), rule)
            if more is None:
                without += 1
                continue
            promised += 1
            values += (truth + rng.standard_normal(more)).tolist()
            kept += rule.decide(estimate(values)) is not None
        yield str(num_seeds), f"{promised:,}", share(kept, promised), f"{without:,}"


PAGE = """\
# Calibration

How often the [verdict](compare.md#the-verdict) is wrong, on simulated differences whose truth is known and on [real runs](#real-runs).
A script writes this page:

```console
python benchmarks/calibration.py --out docs/calibration.md --experiments {num}
```

{num:,} experiments per rate, with fixed seeds. Unit: the standard deviation of the difference over seeds; delta is {delta:g}.
Rates are in per cent with their 95 % interval (Clopper and Pearson).

## False answers

Nominal: 2.5 % better and 2.5 % worse without a true difference, 2.5 % equivalent for a true difference of delta, 95 % coverage (of the
last interval, over the true differences 0, delta and 2 delta). With a delta, and with `--until-decided`, these rates are upper bounds.
"Seeds used" is the mean for a true difference of 0, delta and 2 delta.

{errors}

**Reading.** With normal differences and no delta the rates are nominal, at one look and at many. With a delta, some false answers
become "equivalent". Heavy tails and symmetric outliers make the verdict more cautious. Skewed differences invalidate it: with an
exponential, one answer in ten is false, and rare failures of one arm are worse than that. The verdict assumes that differences are far
above and far below their mean equally often, so look at the single seeds. Repeated looks do not add errors.

## What validate predicts

The true difference that is detected with 80 % power, and how often equal arms are called equivalent:

{power}

## Power

Share of experiments, per cent, in which an arm that is better by the effect is called better (normal noise). A difference within delta
can be called equivalent instead.

{curve}

## Predicted numbers of further seeds

"N seeds more would decide it with 80 % chance": how often N seeds decide, after undecided first seeds, for true differences spread
evenly from -3 to 3.

{promise}

"""


def page(num: int) -> str:
    """Return docs/calibration.md."""
    designs = [
        "seeds", "noise", "false better", "false worse", "false equivalent", "coverage",
        "2 delta found better", "seeds used",
    ]  # fmt: skip
    power = [
        "seeds", "predicted to be found with 80 %", "found", "predicted equivalent", "called equivalent",
    ]  # fmt: skip
    looks = [f"{a} to {b}, until decided" for a, b in LOOKS]
    curve = ["effect", *(f"{n} seeds" for n in ONE_LOOK), *looks]
    promise = ["first seeds", "promises", "kept", "undecided without one"]
    return PAGE.format(
        num=num,
        delta=DELTA,
        errors=table(designs, error_rows(num)),
        power=table(power, power_rows(num)),
        curve=table(curve, curve_rows(num)),
        promise=table(promise, promise_rows(num)),
    ) + calibration_runs.section(calibration_runs.kept())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--experiments", type=int, default=10_000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    text = page(options.experiments)
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
