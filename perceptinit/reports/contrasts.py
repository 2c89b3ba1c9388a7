"""Which arm is compared with which, and what question that answers.

Two contrasts are read together and never one alone: against the baseline (is it worth it?) and
against the same triplets with shuffled votes (is it the human structure?). Shuffled votes are not
neutral, they can cost accuracy, so a lead over them alone says little.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from perceptinit.reports.runs import RunSet

SHUFFLED = "shuffled-votes"
WORTH = "Is it worth it?"
STRUCTURE = "Is it the human structure?"


@dataclass(frozen=True, slots=True)
class Contrast:
    """`arm` minus `reference`, and the question it answers."""

    arm: str
    reference: str
    question: str = WORTH

    @property
    def title(self) -> str:
        return f"{self.arm} - {self.reference}"


def contrasts_of(runs: RunSet) -> list[Contrast]:
    """Return every arm against the baseline, and arms from judgments against their shuffled control."""
    against_baseline = [Contrast(a, runs.baseline) for a in runs.arms if a != runs.baseline]
    controls = [arm for arm in runs.arms if is_shuffled(runs, arm)]
    return against_baseline + [
        Contrast(arm, control, STRUCTURE)
        for arm in runs.arms
        for control in controls
        if _same_but_for_votes(runs, arm, control)
    ]


def is_shuffled(runs: RunSet, arm: str) -> bool:
    """Say whether the arm learns from judgments whose votes were dealt at random."""
    return any(table.get("use") == SHUFFLED for table in _judgments(_stages(runs, arm)))


def _same_but_for_votes(runs: RunSet, arm: str, control: str) -> bool:
    """Say whether the two arms learn from judgments in the same slots, the one from real votes."""
    if arm in (control, runs.baseline) or is_shuffled(runs, arm):
        return False
    slots = [_slots_with_judgments(runs.resolved(name)) for name in (arm, control)]
    return bool(slots[0]) and slots[0] == slots[1]


def _slots_with_judgments(resolved: Mapping[str, Any]) -> set[str]:
    return {
        slot
        for slot in ("init", "posthoc")
        if any("judgments" in table for table in resolved.get(slot, []))
    }


def _stages(runs: RunSet, arm: str) -> list[Mapping[str, Any]]:
    resolved = runs.resolved(arm)
    return [*resolved.get("init", []), *resolved.get("posthoc", [])]


def _judgments(tables: Iterable[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    """Yield the judgments tables of stages, and those that they wrap."""
    for table in tables:
        inner = table.get("judgments")
        if isinstance(inner, Mapping):
            yield inner
            yield from _judgments([inner])
