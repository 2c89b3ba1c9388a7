"""Texts in groups of like length, so that a transformer computes little padding."""

from __future__ import annotations

# N texts, G groups
from dataclasses import dataclass

import numpy as np

# What one more pass through the tower costs beside its tokens, in tokens: weights are read and their
# gradients added once more. On a GPU launching its kernels counts, too (an estimate, not measured).
PASS_TOKENS = {"cpu": 64, "cuda": 4096}


@dataclass(frozen=True, slots=True, eq=False)
class LengthGroup:
    """rows: int64, texts of the group in their order; length: tokens of its longest."""

    rows: np.ndarray
    length: int


def length_groups(lengths: np.ndarray, pass_tokens: int) -> list[LengthGroup]:
    """Return the groups that cost least: tokens with their padding, and `pass_tokens` for each group.

    lengths: int (N,), tokens of each text, at least 1. Groups ascend in length; each text is in one.
    """
    order = np.argsort(lengths, kind="stable")
    distinct, counts = np.unique(lengths, return_counts=True)
    stops = np.concatenate([[0], np.cumsum(counts)])
    least = np.zeros(len(stops))  # cost of the texts before each stop
    begins = np.zeros(len(stops), dtype=np.int64)  # where the last group of these texts begins
    for i, length in enumerate(distinct, 1):
        costs = least[:i] + length * (stops[i] - stops[:i]) + pass_tokens
        begins[i] = costs.argmin()
        least[i] = costs.min()
    groups: list[LengthGroup] = []
    end = len(distinct)
    while end:
        begin = int(begins[end])
        groups.append(LengthGroup(order[stops[begin] : stops[end]], int(distinct[end - 1])))
        end = begin
    return groups[::-1]
