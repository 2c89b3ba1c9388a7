"""Which arm is compared with which, and what question that answers, by what the arms are.

Two contrasts are read together and never one alone: against the baseline (is it worth it?) and
against the same triplets with shuffled votes (is it the human structure?). Shuffled votes are not
neutral, they can cost accuracy, so a lead over them alone says little.

An arm's shuffled control is the arm that equals it once `shuffled-votes` is taken out of all its
settings. People are asked about only where people gave the answers. Other pairs are compared too,
under a name that says in what else they differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from perceptinit.reports.at_best import QUESTION, barred, is_tuned
from perceptinit.results.runs import RunSet

SHUFFLED = "shuffled-votes"
WORTH = "Is it worth it?"
STRUCTURE = "Is it the human structure?"
SIMULATED = "Is it the structure of the simulated judgments?"
NO_PEOPLE = "Is it the structure of these answers, which are not people's?"
OTHERWISE = "Against shuffled votes, with {} other than here:"
CONTROL = "Do votes dealt at random make a difference?"
NOISE = "Do equal arms differ (A/A)?"
AGAINST = "Is it better than {}?"
# what an arm shares with its shuffled control but for the votes, as a sentence calls it
STRUCTURES = {
    STRUCTURE: "the human structure",
    SIMULATED: "the structure of the simulated judgments",
    NO_PEOPLE: "the structure of these answers, which are not people's,",
}
# of the built-in judgments, for records of before 0.2, which do not tell who answered
_BY_PROGRAM = ("pixel-triplets", "class-triplets")


@dataclass(frozen=True, slots=True)
class Contrast:
    """`arm` minus `reference`, and the question it answers; barred: why no side may be taken."""

    arm: str
    reference: str
    question: str = WORTH
    barred: str = ""

    @property
    def title(self) -> str:
        return f"{self.arm} - {self.reference}"


def contrasts_of(runs: RunSet) -> list[Contrast]:
    """Return every arm against the baseline, and arms from judgments against arms from shuffled ones."""
    pairs = [(arm, runs.baseline) for arm in runs.arms if arm != runs.baseline]
    pairs += [
        (arm, control)
        for arm in runs.arms
        for control in runs.arms
        if arm != runs.baseline and _is_beside_shuffled(runs, arm, control)
    ]
    are_tuned = is_tuned(runs)
    return [
        Contrast(arm, other, QUESTION.format(other), barred(runs, arm, other))
        if are_tuned
        else Contrast(arm, other, _question(runs, arm, other))
        for arm, other in dict.fromkeys(pairs)
    ]


def _is_beside_shuffled(runs: RunSet, arm: str, control: str) -> bool:
    """Say whether a control learns from shuffled votes where an arm learns from votes as given."""
    slots = _slots_with_judgments(runs, arm)
    is_pair = is_shuffled(runs, control) and not is_shuffled(runs, arm)
    return bool(slots) and is_pair and slots == _slots_with_judgments(runs, control)


def _question(runs: RunSet, arm: str, reference: str) -> str:
    if _is_beside_shuffled(runs, arm, reference):
        return _question_beside_shuffled(runs, arm, reference)
    if taught_by(runs, reference):
        return AGAINST.format(reference)
    if is_shuffled(runs, arm):
        return CONTROL
    return NOISE if _is_fresh(runs, arm) and _is_fresh(runs, reference) else WORTH


def _question_beside_shuffled(runs: RunSet, arm: str, control: str) -> str:
    own, its = (_comparable(runs.resolved(name)) for name in (arm, control))
    others = list(dict.fromkeys(differing(own, its)))
    if others:
        return OTHERWISE.format(" and ".join(others))
    if not by_people(runs, arm):
        return NO_PEOPLE
    return SIMULATED if is_by_simulated_people(runs, arm) else STRUCTURE


def _is_fresh(runs: RunSet, arm: str) -> bool:
    """Say whether the arm's weights are random ones, drawn with the model or anew."""
    is_known = bool(runs.resolved(arm))
    return is_known and all(stage.get("use") == "random" for stage in _stages(runs, arm))


def taught_by(runs: RunSet, arm: str) -> set[str]:
    """Return the names of the judgments that the arm learns from, whoever answers and however shuffled."""
    told = runs.about(arm).get("taught_by")
    if told is not None:
        return set(told)
    innermost = [t for t in _judgments(_stages(runs, arm)) if "judgments" not in t]
    return {PurePath(t["path"]).stem if "path" in t else str(t.get("use")) for t in innermost}


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


def differing(arm: Any, control: Any, where: str = "") -> Iterable[str]:
    """Yield the paths of the settings that differ; a component of another name differs as a whole."""
    if isinstance(arm, list) and isinstance(control, list) and len(arm) == len(control):
        for one, other in zip(arm, control, strict=True):
            yield from differing(one, other, where)
    elif _is_same_component(arm, control):
        for key in {**arm, **control}:
            path = f"{where}.{key}" if where else key
            yield from differing(arm.get(key), control.get(key), path)
    elif arm != control:
        yield where


def _is_same_component(arm: Any, control: Any) -> bool:
    are_tables = isinstance(arm, Mapping) and isinstance(control, Mapping)
    return are_tables and arm.get("use") == control.get("use")


def by_people(runs: RunSet, arm: str) -> bool:
    """Say whether people, or simulated ones, gave every answer that the arm learns from."""
    by_program = any(t.get("use") in _BY_PROGRAM for t in _judgments(_stages(runs, arm)))
    return bool(runs.about(arm).get("by_people", not by_program))


def is_by_simulated_people(runs: RunSet, arm: str) -> bool:
    """Say whether simulated observers gave an answer that the arm learns from."""
    return any(t.get("use") == "synthetic" for t in _judgments(_stages(runs, arm)))


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
