"""Rates from whole experiments: false sentences about simulated ones, and answers on real A/A comparisons."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import false_sentences
import numpy as np
from calibration_counts import Cells, Counts, Row, Study, share
from calibration_seeds import ask
from known_kinds import KINDS
from scipy import stats

from perceptinit.analysis.decisions import Rule

EQUAL_ARMS = Path(__file__).parents[1] / "results/equal_arms.json"
SUMS = ("num", "false_experiments", "sentences", "false")


def sentence_rows(cells: Cells) -> Iterator[Row]:
    """Yield one row for each kind of experiment, and one for all together."""
    total: Counts = dict.fromkeys(SUMS, 0)
    for kind in KINDS:
        counts = cells.find(f"sentences/{kind.name}", kind.num, false_sentences.count, kind)
        total = {name: num + counts[name] for name, num in total.items()}
        said = (f"{100 * counts[name] / counts['num']:.0f}" for name in ("worth", "structure"))
        yield kind.name, kind.known, *_shares(counts), *said, _in_words(counts["excess"])  # type: ignore[arg-type]
    yield (
        "**all**",
        "",
        *_shares(total),
        "",
        "",
        f"{total['false']:,.0f} of {total['sentences']:,.0f} sentences",
    )


def _shares(counts: Counts) -> Row:
    return f"{counts['num']:,.0f}", share(counts["false_experiments"], counts["num"])


def _in_words(excess: dict[str, int]) -> str:
    return ", ".join(f"{text} ({num})" for text, num in excess.items())


def found_rows(cells: Cells) -> Iterator[Row]:
    """Yield how often large effects are found."""
    for kind in (kind for kind in KINDS if kind.is_large):
        counts = cells.counts[f"sentences/{kind.name}"]
        yield kind.name, *(share(counts[name], counts["num"]) for name in ("better", "worth", "structure"))


def equal_rows(cells: Cells) -> Iterator[Row]:
    """Yield the verdicts on real A/A comparisons, for each kind and in total."""
    kept: dict[str, Any] = json.loads(EQUAL_ARMS.read_text("utf-8"))
    every: list[tuple[bool, ...]] = []
    for name, experiments in kept["differences"].items():
        values = np.concatenate(experiments)
        deviation = float(values.std(ddof=1))
        answers = [_answers(differences, deviation) for differences in experiments]
        every += answers
        shape = (
            f"{values.mean():+.2f} ± {stats.sem(values):.2f}",
            f"{deviation:.1f}",
            f"{stats.skew(values):+.2f}",
        )
        yield f"{name} ({kept['scores'][name]})", *shape, *_count(answers)
    yield "all", "", "", "", *_count(every)


def _answers(differences: Sequence[float], delta: float) -> tuple[bool, ...]:
    """Return whether a comparison is false better, false worse, covered, and false equivalent if shifted by delta."""
    plain, moved = ask(differences, Rule()), ask([d + delta for d in differences], Rule(delta))
    is_equivalent = moved.outcome == "equivalent"
    return plain.outcome == "better", plain.outcome == "worse", plain.covers(0.0), is_equivalent


def _count(answers: Sequence[tuple[bool, ...]]) -> list[str]:
    columns = zip(*answers, strict=True)
    return [str(len(answers)), *(share(sum(column), len(answers)) for column in columns)]


STUDIES = {
    "sentences": Study(
        (
            "kind", "what is true", "experiments", "with a false sentence", "worth it, %", "structure, %",
            "false sentences",
        ),
        sentence_rows,
    ),
    "found": Study(("kind", "called better", "worth it", "attributed to people"), found_rows),
    "equal-arms": Study(
        (
            "arms", "mean ± s.e., points", "deviation", "skewness", "comparisons", "false better",
            "false worse", "coverage", "false equivalent",
        ),
        equal_rows,
    ),
}  # fmt: skip
