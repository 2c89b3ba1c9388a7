"""Summary of the experiments of `false_sentences.py`: marks, counts and true differences."""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import sentence_rules
from known_kinds import DELTA, KINDS, Kind
from scipy import stats

Row = Mapping[str, Any]  # of `experiment`
TRUTH_CONFIDENCE = 0.99
FEWEST_SEEDS = 30  # from which a true difference is taken as known


def summarise(by_commit: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
    """Return counts, true differences and A/A differences by commit and kind."""
    known = list({(r["kind"], r["index"]): r for rows in by_commit.values() for r in rows}.values())
    of_kind = {kind.name: [r for r in known if r["kind"] == kind.name] for kind in KINDS}
    truths = {kind.name: truth_of(kind, of_kind[kind.name]) for kind in KINDS if of_kind[kind.name]}
    return {
        "delta": DELTA,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in ("torch", "timm")),
        "truth": {
            name: {" - ".join(pair): [round(end, 2) for end in ends] for pair, ends in truth.between.items()}
            for name, truth in truths.items()
        },
        "commits": {
            commit: {
                kind.name: count(kind, [r for r in rows if r["kind"] == kind.name], truths[kind.name])
                for kind in KINDS
                if kind.name in truths
            }
            for commit, rows in by_commit.items()
        },
        "scores": {kind.name: kind.score for kind in KINDS},
        "equal_arms": {
            kind.name: [_differences(r, *kind.nothing[0]) for r in of_kind[kind.name]]
            for kind in KINDS
            if len(kind.arms) == 1 and kind.nothing
        },
    }


def truth_of(kind: Kind, rows: Sequence[Row]) -> sentence_rules.Truth:
    """Return what is true of a kind: nothing by construction, or else the mean over the seeds of all its experiments.

    With less than 30 seeds nothing is known: the difference is left out.
    """
    between = {}
    for arm, reference in _pairs(kind):
        values = np.concatenate([_differences(r, arm, reference) for r in rows])
        if (arm, reference) in kind.nothing:
            between[arm, reference] = (0.0, 0.0)
        elif len(values) >= FEWEST_SEEDS:
            half = stats.sem(values) * stats.t.ppf(0.5 + TRUTH_CONFIDENCE / 2, len(values) - 1)
            between[arm, reference] = (values.mean() - half, values.mean() + half)
    alike = frozenset(kind.nothing if kind.alike else ())
    return sentence_rules.Truth(between, kind.cause, kind.taught, alike)


def count(kind: Kind, rows: Sequence[Row], truth: sentence_rules.Truth) -> dict[str, Any]:
    """Return how many experiments and sentences about arms there are, how many say too much, and what of real effects is said."""
    excess: Counter[str] = Counter()
    num_sentences = num_false = worth = structure = 0
    for row in rows:
        about = [s for s in row["sentences"] if sentence_rules.is_about_arms(s)]
        marks = [sentence_rules.mark(s, kind.arm, "random", truth, DELTA) for s in about]
        excess.update(text for text in marks if text)
        num_sentences += len(about)
        num_false += any(marks)
        claims = [c for s in about for c in sentence_rules.read(s, kind.arm, "random") or ()]
        worth += any(c.kind == "better" and c.pair[1] == "random" for c in claims)
        structure += any(c.kind == "better" and c.cause == "people" for c in claims)
    return {
        "experiments": len(rows),
        "with_false": num_false,
        "sentences": num_sentences,
        "false": sum(excess.values()),
        "excess": dict(excess.most_common()),
        "called_better": worth,
        "called_structure": structure,
    }


def _pairs(kind: Kind) -> Iterable[tuple[str, str]]:
    yield from ((arm, "random") for arm in kind.arms)
    if "shuffled" in kind.arms:
        yield kind.arm, "shuffled"


def _differences(row: Row, arm: str, reference: str) -> list[float]:
    values = row["values"]
    return [round(a - b, 4) for a, b in zip(values[arm], values[reference], strict=True)]
