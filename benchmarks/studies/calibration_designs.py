"""Rates of the verdict's answers by design: few images, seeds added by hand, many arms."""

from __future__ import annotations

# S seeds, K arms
from collections import Counter
from collections.abc import Iterator

import numpy as np
from calibration_counts import Cells, Counts, Row, Study, share
from calibration_seeds import DELTA, NOISE, NUM, NUM_SEEDS, Answer, ask, ask_at_looks

from perceptinit.analysis.decisions import Rule, rule_of
from perceptinit.analysis.intervals import MIN_SEEDS_SIGN_FLIP, max_t_p
from perceptinit.analysis.questions import SIDES
from perceptinit.recipe.settings import VerdictConfig
from perceptinit.results.source import POINTS

NUM_TABLES = 2_000
NUM_ARMS = 10
COARSE = (50, 100, 500)  # images
DISAGREEMENT = 0.05  # share of images that exactly one of two equal arms classifies correctly
BY_HAND = ((3, 5), (3, 10), (5, 10), (6, 10))  # seeds of the first look and of the last

# --- small sets of images without the values of single items ----------------------------------------------------


def coarse_rows(cells: Cells) -> Iterator[Row]:
    """Yield false sides of equal arms on few images, with the floor of the deviation and without it."""
    for num_images in COARSE:
        for num_seeds in (2, *NUM_SEEDS):
            counts = cells.find(f"coarse/{num_images}/{num_seeds}", NUM, _count_coarse, num_images, num_seeds)
            yield (
                f"{num_images:,}",
                str(num_seeds),
                *(share(counts[name], counts["num"]) for name in ("better", "worse", "better_without")),
            )


def _count_coarse(rng: np.random.Generator, num: int, num_images: int, num_seeds: int) -> Counts:
    half = DISAGREEMENT / 2
    drawn = rng.multinomial(num_images, [half, half, 1 - 2 * half], (num, num_seeds))
    differences = [d for d in ((drawn[..., 0] - drawn[..., 1]) / num_images).tolist() if any(d)]
    floor = 1 / (num_images * 12**0.5)  # of `compare`: a share of n items is rounded to 1 / n
    own, without = ([ask(d, Rule(), f).outcome for d in differences] for f in (floor, 0.0))
    return {
        "better": own.count("better"),
        "worse": own.count("worse"),
        "better_without": without.count("better"),
    }


# --- seeds added by hand -------------------------------------------------------------------------------------------


def by_hand_rows(cells: Cells) -> Iterator[Row]:
    """Yield false sides if seeds are added one at a time until the verdict is decided, without a plan."""
    for first, last in BY_HAND:
        for delta in (None, DELTA):
            counts = cells.find(
                f"by-hand/{first}-{last}/delta {delta}", NUM, _count_by_hand, first, last, delta
            )
            yield (
                f"{first}, then to {last}",
                "none" if delta is None else f"{delta:g}",
                *(share(counts[n], counts["num"]) for n in ("first", "added", "added_without", "covered")),
            )


def _count_by_hand(rng: np.random.Generator, num: int, first: int, last: int, delta: float | None) -> Counts:
    plan = VerdictConfig(delta=delta)  # points
    rules = [rule_of(plan, first, listed) for listed in range(first, last + 1)]
    single = [Rule(rules[0].delta)] * len(rules)
    drawn = (rng.standard_normal((num, last)) / POINTS).tolist()
    counts = Counter(first=0, added=0, added_without=0, covered=0)
    for values in drawn:
        (own, used), (without, used_without) = (ask_at_looks(values, use, first) for use in (rules, single))
        counts["first" if used == first else "added"] += own.outcome in SIDES
        counts["added_without"] += used_without > first and without.outcome in SIDES
        counts["covered"] += own.covers(0.0)
    return dict(counts)


# --- ten arms against one baseline -----------------------------------------------------------------------------------


def arms_rows(cells: Cells) -> Iterator[Row]:
    """Yield shares of tables with a false sentence on any of ten arms."""
    for noise in NOISE:
        for num_seeds in NUM_SEEDS:
            counts = cells.find(f"ten-arms/{noise}/{num_seeds}", NUM_TABLES, _count_tables, noise, num_seeds)
            names = ("worth", "better", "better_each")
            yield noise, str(num_seeds), *(share(counts[name], counts["num"]) for name in names)


def _count_tables(rng: np.random.Generator, num: int, noise: str, num_seeds: int) -> Counts:
    counts = Counter(worth=0, better=0, better_each=0)
    for _ in range(num):
        baseline = rng.standard_normal(num_seeds)
        null = (NOISE[noise](rng, (NUM_ARMS, num_seeds)) - baseline) / np.sqrt(2)
        # with a lead of exactly delta, no arm is worth it
        edge = [answer.is_worth for answer in ask_family(null + DELTA, Rule(DELTA))]
        better = [answer.outcome == "better" for answer in ask_family(null, Rule())]
        each = [ask(values, Rule()).outcome == "better" for values in null.tolist()]
        counts.update(worth=any(edge), better=any(better), better_each=any(each))
    return dict(counts)


def ask_family(differences: np.ndarray, rule: Rule) -> list[Answer]:
    """Return the answers on contrasts that share a baseline. differences: shape (K, S)."""
    values = differences.tolist()
    p_signs = max_t_p(values) if differences.shape[1] >= MIN_SEEDS_SIGN_FLIP else [None] * len(values)
    return [ask(v, rule, num_family=len(values), p_signs=p) for v, p in zip(values, p_signs, strict=True)]


STUDIES = {
    "coarse": Study(
        ("images", "seeds", "false better", "false worse", "false better, without the floor"), coarse_rows
    ),
    "by-hand": Study(
        (
            "seeds", "delta", "false better or worse, first look", "false better or worse, later", "later, without widening",
            "coverage",
        ),
        by_hand_rows,
    ),
    "ten-arms": Study(
        ("noise", "seeds", "any false “worth it”", "any false better", "any false better, 95 % for each arm"),
        arms_rows,
    ),
}  # fmt: skip
