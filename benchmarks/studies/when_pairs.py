"""When leads emerge in the experiments of docs/results/pairs.md, from records alone (no module of the package is imported).

The rule is that of `perceptinit compare --when` (docs/compare.md): evaluations are tested from the last one backwards.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from from_records import markdown, sign_test
from scipy import stats

SCORE = "top1/unseen"
SIZES = {1000: "pairs-1000", 4000: "few-pairs", 16000: "pairs-16000", 45000: "pairs-45000"}
CONTRASTS = (("people", "random"), ("people", "shuffled"))
NUM_OF_FAMILY = {("few-pairs", "random"): 5}  # arms whose contrasts with random are simultaneous
HEAD = ["distinct pairs", *(f"{arm} - {reference}" for arm, reference in CONTRASTS)]

Curves = Mapping[tuple[str, int], Mapping[int, float]]  # arm and seed -> samples seen -> score


@dataclass(frozen=True, slots=True)
class Lead:
    """The lead at each evaluation, by seed: samples seen, int64 (K,), and values (K, S)."""

    counts: np.ndarray
    values: np.ndarray

    def limits(self, level: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the limits of Student's t interval at each evaluation, (K,)."""
        return t_interval(self.values, level)


def t_interval(values: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    num = values.shape[1]
    half = stats.t.ppf(0.5 + level / 2, num - 1) * values.std(axis=1, ddof=1) / np.sqrt(num)
    return values.mean(axis=1) - half, values.mean(axis=1) + half


def read_curves(folder: Path, score: str) -> Curves:
    """Return the score of each finished run by samples seen."""
    found = {}
    for path in sorted(folder.glob("*/seed*/record.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        rows = [row for row in record["scores"] if row["name"] == score]
        found[record["arm"]["name"], record["seed"]] = {row["samples_seen"]: row["value"] for row in rows}
    return found


def lead_of(curves: Curves, arm: str, reference: str) -> Lead:
    """Return arm minus reference, paired by seed, at the evaluations that all seeds have."""
    seeds = sorted(seed for name, seed in curves if name == arm and (reference, seed) in curves)
    pairs = [(curves[arm, seed], curves[reference, seed]) for seed in seeds]
    counts = sorted(set.intersection(*(set(curve) for pair in pairs for curve in pair)))
    values = [[own[n] - other[n] for own, other in pairs] for n in counts]
    return Lead(np.array(counts), np.array(values))


def emerged_by(lead: Lead, num_family: int = 1, ends_ahead: bool | None = None) -> int | None:
    """Return the samples seen at the first of the last evaluations that all show the lead; None without any.

    Args:
        lead: The lead at each evaluation.
        num_family: Number of contrasts whose intervals hold together.
        ends_ahead: Whether the last evaluation shows the lead, by an interval that also covers images. Default: over seeds.
    """
    low, _ = lead.limits(1 - 0.05 / num_family)
    is_shown = [
        low[place] > 0 and (sign_test(values) or 0.0) <= 0.05 for place, values in enumerate(lead.values)
    ]
    if ends_ahead is not None:
        is_shown[-1] = ends_ahead
    found = None
    for place in reversed(range(len(lead.counts))):
        if not is_shown[place]:
            break
        found = int(lead.counts[place])
    return found


def fades_from(lead: Lead, num_family: int = 1) -> int | None:
    """Return the samples seen at the largest lead that is shown and exceeds the last one; None without any."""
    level = 1 - 0.05 / num_family / len(lead.counts)
    low, _ = lead.limits(level)
    low_of_loss, _ = t_interval(lead.values[:-1] - lead.values[-1], level)
    is_larger = (low[:-1] > 0) & (low_of_loss > 0)
    means = np.where(is_larger, lead.values[:-1].mean(axis=1), -np.inf)
    return int(lead.counts[means.argmax()]) if is_larger.any() else None


def cell(folder: Path, arm: str, reference: str) -> str:
    """Return when the lead emerges, in words."""
    lead = lead_of(read_curves(folder, SCORE), arm, reference)
    num_family = NUM_OF_FAMILY.get((folder.name, reference), 1)
    return in_words(lead, emerged_by(lead, num_family), fades_from(lead, num_family))


def in_words(lead: Lead, emerged: int | None, peak: int | None) -> str:
    """Return when a lead emerges, in samples seen, and from what it fades, in points."""
    words = [f"emerged by {emerged:,}" if emerged is not None else "not emerged"]
    if peak is not None:
        first = 100 * lead.values[lead.counts.tolist().index(peak)].mean()
        words.append(f"fading from {first:+.1f} to {100 * lead.values[-1].mean():+.1f}")
    return ", ".join(words)


def table(kept: Path) -> str:
    """Return the table: when people's lead emerges with each number of pairs."""
    rows: list[Sequence[str]] = []
    for num, name in SIZES.items():
        rows.append([f"{num:,}", *(cell(kept / name, arm, reference) for arm, reference in CONTRASTS)])
    return markdown(HEAD, rows)
