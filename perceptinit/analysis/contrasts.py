"""The contrasts of an experiment, given the settings of the arms.

An arm is compared with the baseline (is it worth it?) and with the same arm trained on shuffled votes (is it
the human structure?). The two contrasts are interpreted together. Shuffled votes can reduce accuracy, so a
lead over them alone is not an answer.

The shuffled control of an arm differs from it only in `shuffled-votes`. If more settings differ, the question
lists the differences.

To add a contrast, write a `Question` in questions.py, and return it from `_ask`.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import PurePath
from typing import Any

from perceptinit.analysis.at_best import find_bar, is_tuned
from perceptinit.analysis.questions import (
    AGAINST,
    AT_BEST,
    CONTROL,
    MAIN,
    NO_PEOPLE,
    NOISE,
    OTHERWISE,
    SIMULATED,
    STRUCTURE,
    WORTH,
    Question,
    planned_questions,
)
from perceptinit.components.building import PARTS
from perceptinit.results.record import list_judgments
from perceptinit.results.runs import RunSet
from perceptinit.results.source import Fact

SHUFFLED = "shuffled-votes"


@dataclass(frozen=True, slots=True)
class Contrast:
    """The difference `arm` minus `reference`, and the question that it answers.

    Attributes:
        barred: Reason why neither arm can be called better, or empty.
        num_family: Number of contrasts in its family, whose intervals are simultaneous.
        is_of_pairs: Whether the family contains every pair of arms, because the baseline is the best arm.
    """

    arm: str
    reference: str
    question: Question = WORTH
    barred: str = ""
    num_family: int = field(default=1, compare=False)
    is_of_pairs: bool = field(default=False, compare=False)

    @property
    def title(self) -> str:
        return f"{self.arm} - {self.reference}"


def find_contrasts(runs: RunSet) -> list[Contrast]:
    """Return the contrasts of each arm with the baseline and with its shuffled controls."""
    others = [arm for arm in runs.arms if arm != runs.baseline]
    controls = [arm for arm in runs.arms if is_shuffled(runs, arm)]
    shuffled = [pair for pair in product(others, controls) if _is_beside_shuffled(runs, *pair)]
    pairs = dict.fromkeys([*product(others, [runs.baseline]), *shuffled])
    if is_tuned(runs):
        return [Contrast(a, b, AT_BEST.format(b), find_bar(runs, a, b)) for a, b in pairs]
    return _in_families(runs, [Contrast(arm, other, _ask(runs, arm, other)) for arm, other in pairs])


def _in_families(runs: RunSet, found: list[Contrast]) -> list[Contrast]:
    """Return the contrasts with the sizes of their families. A plan's first contrast is in no family."""
    is_known = Fact.SETTINGS not in runs.source.shows  # else an arm without settings has not started
    asking = [c for c in found if c.question.is_main and (is_known or runs.resolved(c.arm))]
    planned = list(planned_questions(runs.plan))
    family = [c for c in asking if (c.arm, c.reference) not in planned[:1]]
    is_of_pairs = runs.is_baseline_best  # any pair could have been compared
    num = math.comb(len(runs.arms), 2) if is_of_pairs else len(family)
    return [replace(c, num_family=num, is_of_pairs=is_of_pairs) if c in family else c for c in found]


def _ask(runs: RunSet, arm: str, reference: str) -> Question:
    """Return the question that a contrast of two arms answers."""
    if _is_beside_shuffled(runs, arm, reference):
        own = _unshuffle(runs.resolved(arm))
        control = _unshuffle(runs.resolved(reference)) | {"name": own.get("name")}  # of the recipe
        if others := dict.fromkeys(find_differences(own, control)):
            return OTHERWISE.format(" and ".join(others))
        if not is_by_people(runs, arm):
            return NO_PEOPLE
        return SIMULATED if is_by_simulated_people(runs, arm) else STRUCTURE
    if taught_by(runs, reference):
        return AGAINST.format(reference)
    if is_shuffled(runs, arm):
        return CONTROL
    if _is_fresh(runs, arm) and _is_fresh(runs, reference):
        return NOISE
    return MAIN[runs.source.question].format(reference)


def _is_beside_shuffled(runs: RunSet, arm: str, control: str) -> bool:
    """Return whether `control` uses shuffled votes in the stages in which `arm` uses judgments."""
    slots = _slots_with_judgments(runs, arm)
    is_pair = is_shuffled(runs, control) and not is_shuffled(runs, arm)
    return bool(slots) and is_pair and slots == _slots_with_judgments(runs, control)


def _is_fresh(runs: RunSet, arm: str) -> bool:
    """Return whether the arm is randomly initialized."""
    return bool(runs.resolved(arm)) and all(s.get("use") == "random" for s in _stages(runs, arm))


def taught_by(runs: RunSet, arm: str) -> set[str]:
    """Return the names of the judgments that the arm learns from, shuffled or not."""
    recorded = runs.about(arm).get("taught_by")
    if recorded is not None:
        return set(recorded)
    innermost = [t for t in list_judgments(_stages(runs, arm)) if "judgments" not in t]
    return {PurePath(t["path"]).stem if "path" in t else str(t.get("use")) for t in innermost}


def find_controls(runs: RunSet, arm: str) -> list[str]:
    """Return the controls that would do as well as the arm if its gain did not come from human judgments.

    Controls use computed judgments, structured initialization, or the weight statistics of stage 1 alone.
    `norm-matched` is not one of them, because it keeps the directions of stage 1. Random initialization and
    shuffled votes have separate contrasts.
    """
    others = (a for a in runs.arms if a not in (arm, runs.baseline))
    return [a for a in others if not _is_fresh(runs, a) and not is_shuffled(runs, a) and _is_control(runs, a)]


def find_control_contrasts(runs: RunSet) -> list[Contrast]:
    """Return the contrasts of each arm that learns from people with its controls."""
    arms = [arm for arm in runs.arms if _slots_with_judgments(runs, arm) and is_by_people(runs, arm)]
    return [Contrast(arm, control) for arm in arms for control in find_controls(runs, arm)]


def _is_control(runs: RunSet, arm: str) -> bool:
    stages = _stages(runs, arm)
    is_matched = any(stage.get("use") == "statistics-matched" for stage in stages)
    is_taught = bool(list_judgments(stages)) and is_by_people(runs, arm)
    return bool(runs.resolved(arm)) and (is_matched or not is_taught)


def is_trained_on_data(runs: RunSet, arm: str) -> bool:
    """Return whether a stage of the arm is trained on judgments or pairs."""
    return any(stage.keys() & PARTS.keys() for stage in _stages(runs, arm))


def is_shuffled(runs: RunSet, arm: str) -> bool:
    """Return whether the arm learns from judgments with shuffled votes."""
    return any(table.get("use") == SHUFFLED for table in list_judgments(_stages(runs, arm)))


def _unshuffle(value: Any) -> Any:
    if isinstance(value, list):
        return [_unshuffle(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    if value.get("use") == SHUFFLED:
        return _unshuffle(value.get("judgments"))
    return {key: _unshuffle(item) for key, item in value.items()}


def find_differences(arm: Any, control: Any, where: str = "") -> Iterable[str]:
    """Yield the paths of settings that differ, and only the path of a component if the names differ."""
    if isinstance(arm, list) and isinstance(control, list) and len(arm) == len(control):
        for one, other in zip(arm, control, strict=True):
            yield from find_differences(one, other, where)
        return
    are_tables = isinstance(arm, Mapping) and isinstance(control, Mapping)
    if are_tables and arm.get("use") == control.get("use"):
        for key in {**arm, **control}:
            path = f"{where}.{key}" if where else key
            yield from find_differences(arm.get(key), control.get(key), path)
    elif arm != control:
        yield where


def is_by_people(runs: RunSet, arm: str) -> bool:
    """Return whether people, real or simulated, gave every answer that the arm learns from."""
    return bool(runs.about(arm).get("by_people", True))


def is_by_simulated_people(runs: RunSet, arm: str) -> bool:
    """Return whether simulated observers gave any answer that the arm learns from.

    Older records show it only by the component of the judgments, or by the summary of the recipe.
    """
    judgments = list_judgments(_stages(runs, arm))
    is_stated = runs.about(arm).get("simulated", runs.is_simulated_world)
    return bool(judgments) and (is_stated or any(t.get("use") == "synthetic" for t in judgments))


def _slots_with_judgments(runs: RunSet, arm: str) -> set[str]:
    resolved = runs.resolved(arm)
    return {slot for slot in ("init", "posthoc") if list_judgments(resolved.get(slot, []))}


def _stages(runs: RunSet, arm: str) -> list[Mapping[str, Any]]:
    resolved = runs.resolved(arm)
    return [*resolved.get("init", []), *resolved.get("posthoc", [])]
