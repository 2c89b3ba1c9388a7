"""`plan.json`: the plan of an experiment, written before its runs, with a hash of its content."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from perceptinit.errors import DataError, map_texts, printable, without_credentials
from perceptinit.files.reading import content_sha256, read_json
from perceptinit.results.record import Environment, Named, Stages
from perceptinit.results.states import QueuedRun

PLAN = "plan.json"  # in the output folder of a recipe
SCHEMA = 1
HINT = ". Restore the file, or move it away"
EDITED = "the plan was edited after it was written"
plan_sha256 = content_sha256


class PlannedRecipe(Named):
    source: str
    overrides: list[str]


class PlannedVerdict(TypedDict):
    delta: float | None
    max_seeds: int | None
    primary: str


class PlannedArm(Named, Stages):
    difference: str
    fingerprint: str


class PlannedContrast(TypedDict):
    """A contrast. `question` is a key; six published plans contain the text instead."""

    arm: str
    reference: str
    question: str
    text: NotRequired[str]


class EarlierRecord(QueuedRun):
    status: str
    started: str
    sha256: str


class Shared(TypedDict):
    backbone: dict
    eval: list[dict]


class TunedRange(TypedDict):
    low: float
    high: float
    scale: str


class UsedEvaluator(TypedDict):
    use: str


class StatedTuning(TypedDict):
    measure: str
    trials: int
    eval: UsedEvaluator
    space: dict[str, TunedRange]


class PlannedTuning(StatedTuning):
    searches: int


class EarlierTuning(StatedTuning):
    studies: int  # see `restore_keys`


class Plan(TypedDict):
    """Required keys of a plan. Plans contain further keys."""

    schema: Literal[1]
    sha256: str
    written: str
    recipe: PlannedRecipe
    hypothesis: str
    verdict: PlannedVerdict
    seeds: list[int]
    stopping: str
    baseline: str
    arms: list[PlannedArm]
    shared: Shared
    contrasts: list[PlannedContrast]
    measures: str
    exclusions: str
    prospects: list[str]
    records: list[EarlierRecord]
    versions: Environment
    tune: NotRequired[PlannedTuning | EarlierTuning]


def read_plan(folder: Path, name: str = PLAN) -> dict[str, Any]:
    """Return the plan in a file of a recipe's output folder, or an empty dict.

    Control characters are escaped, as in `seal_plan`.

    Raises:
        DataError: If the file is not a valid plan. The message names the file and the key.
    """
    path = folder / name
    if not path.exists():
        return {}
    plan = read_json(path, Plan, "a plan", HINT)
    try:
        json.dumps(plan, allow_nan=False)
    except ValueError:
        raise DataError(f"{path}: not a plan (a number is not finite){HINT}") from None
    return dict(map_texts(printable, plan))


def seal_plan(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return a plan without credentials and with its hash, in the form that `read_plan` returns."""
    plain = json.loads(json.dumps(plan, allow_nan=False))
    plain = map_texts(printable, map_texts(without_credentials, plain))
    return {**plain, "sha256": plan_sha256(plain)}


def is_edited(plan: Mapping[str, Any]) -> bool:
    """Return whether a plan differs from its hash; False without a plan."""
    return bool(plan) and plan["sha256"] != plan_sha256(plan)


def planned_settings(plan: Mapping[str, Any], arm: Mapping[str, Any]) -> dict[str, Any]:
    """Return an arm's settings from a plan, in the form of the `resolved` settings in a record."""
    return {"name": plan["recipe"]["name"], **plan["shared"], "init": arm["init"], "posthoc": arm["posthoc"]}
