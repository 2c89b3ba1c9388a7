"""Which arm is compared with which, and what question that answers.

Two contrasts are read together and never one alone: against the baseline (is it worth it?) and
against the same triplets with shuffled votes (is it the human structure?). Shuffled votes are not
neutral, they can cost accuracy, so a lead over them alone says little.

An arm's shuffled control is the arm that equals it once `shuffled-votes` is taken out of all its
settings, where people gave the answers. Other pairs are compared too, under a name that says in what
else they differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from perceptinit.results.runs import RunSet

SHUFFLED = "shuffled-votes"
WORTH = "Is it worth it?"
STRUCTURE = "Is it the human structure?"
NO_PEOPLE = "Is it the structure of these answers, which are not people's?"
OTHERWISE = "Against shuffled votes, with {} other than here:"
# of the built-in judgments, for records of before 0.2, which do not tell who answered
_BY_PROGRAM = ("pixel-triplets", "class-triplets")


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
    """Return every arm against the baseline, and arms from judgments against arms from shuffled ones."""
    against_baseline = [Contrast(a, runs.baseline) for a in runs.arms if a != runs.baseline]
    shuffled = [arm for arm in runs.arms if is_shuffled(runs, arm)]
    taught = [
        arm
        for arm in runs.arms
        if arm not in (runs.baseline, *shuffled) and _judgments(_stages(runs, arm))
    ]
    against_shuffled = [
        Contrast(arm, control, _question(runs, arm, control))
        for arm in taught
        for control in shuffled
        if _slots_with_judgments(runs, arm) == _slots_with_judgments(runs, control)
    ]
    return against_baseline + against_shuffled


def _question(runs: RunSet, arm: str, control: str) -> str:
    """Return what an arm against one from shuffled votes answers."""
    own, its = (_comparable(runs.resolved(name)) for name in (arm, control))
    others = list(dict.fromkeys(_differing(own, its)))
    if others:
        return OTHERWISE.format(" and ".join(others))
    return STRUCTURE if _by_people(runs, arm) else NO_PEOPLE


def is_shuffled(runs: RunSet, arm: str) -> bool:
    """Say whether the arm learns from judgments whose votes were dealt at random."""
    return any(table.get("use") == SHUFFLED for table in _judgments(_stages(runs, arm)))


def _comparable(resolved: Mapping[str, Any]) -> dict[str, Any]:
    """Return an arm's settings without the recipe's name, and without `shuffled-votes`."""
    return {key: _unshuffled(value) for key, value in resolved.items() if key != "name"}


def _unshuffled(value: Any) -> Any:
    if isinstance(value, list):
        return [_unshuffled(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    if value.get("use") == SHUFFLED:
        return _unshuffled(value.get("judgments"))
    return {key: _unshuffled(item) for key, item in value.items()}


def _differing(arm: Any, control: Any, where: str = "") -> Iterable[str]:
    """Yield the paths of the settings that differ; a component of another name differs as a whole."""
    if isinstance(arm, list) and isinstance(control, list) and len(arm) == len(control):
        for one, other in zip(arm, control, strict=True):
            yield from _differing(one, other, where)
    elif _is_same_component(arm, control):
        for key in {**arm, **control}:
            path = f"{where}.{key}" if where else key
            yield from _differing(arm.get(key), control.get(key), path)
    elif arm != control:
        yield where


def _is_same_component(arm: Any, control: Any) -> bool:
    are_tables = isinstance(arm, Mapping) and isinstance(control, Mapping)
    return are_tables and arm.get("use") == control.get("use")


def _by_people(runs: RunSet, arm: str) -> bool:
    by_program = any(t.get("use") in _BY_PROGRAM for t in _judgments(_stages(runs, arm)))
    return bool(runs.about(arm).get("by_people", not by_program))


def _slots_with_judgments(runs: RunSet, arm: str) -> set[str]:
    resolved = runs.resolved(arm)
    return {slot for slot in ("init", "posthoc") if _judgments(resolved.get(slot, []))}


def _stages(runs: RunSet, arm: str) -> list[Mapping[str, Any]]:
    resolved = runs.resolved(arm)
    return [*resolved.get("init", []), *resolved.get("posthoc", [])]


def _judgments(tables: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the judgments tables of stages, and those that they wrap."""
    inner = [t["judgments"] for t in tables if isinstance(t.get("judgments"), Mapping)]
    return inner + _judgments(inner) if inner else []
