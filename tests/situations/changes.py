"""Changes to the records of a situation: another machine, an edit, a missing plan."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from perceptinit.results.items import write_items
from perceptinit.results.record import write_record
from perceptinit.types import Items
from situations.fields import answer

Change = Callable[[dict[str, Any]], None]
SIMULATED = '{ use = "synthetic" }'


def _of(arm: str, change: Change, seed: int | None = None) -> Change:
    """Return a change to the records of one arm (empty: of all arms), optionally of one seed."""

    def changed(record: dict[str, Any]) -> None:
        if arm in ("", record["arm"]["name"]) and seed in (None, record["seed"]):
            change(record)

    return changed


def by_package(arm: str, **versions: str) -> Change:
    """Return a change to package versions."""
    return _of(arm, lambda record: record["environment"]["packages"].update(versions))


def on_device(arm: str, device: str, seed: int | None = None) -> Change:
    """Return a change to the device."""
    return _of(arm, lambda record: record["environment"].update(device=device), seed)


def other_processor(arm: str) -> Change:
    """Return a change to the processor."""
    return _of(arm, lambda record: record["environment"].update(processor="another CPU"))


def other_batches(arm: str) -> Change:
    """Return a change to the order of the pairs."""
    return _of(arm, lambda record: record["hashes"].update(pretrain_data="other"))


def fewer_samples(arm: str) -> Change:
    """Return a change to half of the samples seen."""

    def halve(record: dict[str, Any]) -> None:
        for row in record["scores"]:
            row["samples_seen"] //= 2

    return _of(arm, halve)


def stage_1(arm: str, seed: int | None = None, **metrics: float | None) -> Change:
    """Return a change to the metrics of stage 1; None removes one. two_afc, stderr: of held-out judgments."""
    names = {"two_afc": "2afc_val_after", "two_afc_before": "2afc_val_before", "stderr": "2afc_val_stderr"}

    def change(record: dict[str, Any]) -> None:
        own = record["init"][-1]["metrics"]
        own.update({names.get(name, name): value for name, value in metrics.items()})
        record["init"][-1]["metrics"] = {name: value for name, value in own.items() if value is not None}

    return _of(arm, change, seed)


def summarized_as(text: str) -> Change:
    """Return a change to the summary of the recipe, in records that do not state simulated judgments."""

    def change(record: dict[str, Any]) -> None:
        record["recipe"]["summary"] = text
        record["arm"].pop("simulated", None)

    return _of("", change)


def collapsed(arm: str) -> Change:
    """Return a change to an arm whose embeddings collapsed in stage 1."""
    return stage_1(arm, spread_after=0.0004, two_afc=0.5)


def simulated_judgments() -> Mapping[str, str]:
    """Return the stages of arms with judgments of simulated observers."""
    shuffled = '{ use = "shuffled-votes", judgments = ' + SIMULATED + " }"
    return {
        "people": f'[{{ use = "triplet-hinge", judgments = {SIMULATED} }}]',
        "shuffled": f'[{{ use = "triplet-hinge", judgments = {shuffled} }}]',
    }


def tuned(arm: str, lr: float = 1e-3, trials: int = 5, searches: int = 3) -> Change:
    """Return a change to an arm with the best settings of its trials, for recipes with `[tune]`."""

    def at_best(record: dict[str, Any]) -> None:
        recipe = record["recipe"]
        recipe["overrides"] = ['tune.role="best"', f"pretrain.lr={lr}"]
        recipe["text"] = recipe["text"].replace("trials = 5", f"trials = {trials}")
        recipe["text"] = recipe["text"].replace("searches = 3", f"searches = {searches}")
        record["arm"]["resolved"]["pretrain"]["lr"] = lr

    return _of(arm, at_best)


def with_trials(**best: Sequence[float]) -> Callable[[Path], None]:
    """Write the trials of tuned arms next to their runs: two trials per search, of which the first is best.

    best: arm to the best score of each search, in percent.
    """

    def write(folder: Path) -> None:
        for arm, values in best.items():
            record = json.loads((folder / arm / "seed0/record.json").read_text())
            record["recipe"]["overrides"] = ['tune.role="trial"', "pretrain.lr=0.002"]
            record["recipe"]["text"] = record["recipe"]["text"].replace(
                "searches = 3", f"searches = {len(values)}"
            )
            record["recipe"]["text"] = record["recipe"]["text"].replace("trials = 5", "trials = 2")
            for number, value in enumerate([*values, *(value - 5 for value in values)]):
                trial = copy.deepcopy(record) | {"seed": 1000 + number}
                trial["scores"][0]["value"] = value / 100
                path = folder.with_name("made-trials") / arm / f"seed{1000 + number}" / "record.json"
                write_record(path, trial)

    return write


def in_turn(*changes: Change) -> Change:
    """Return the composition of changes."""

    def change_all(record: dict[str, Any]) -> None:
        for change in changes:
            change(record)

    return change_all


def not_finite(arm: str, seed: int, measure: str = "") -> Change:
    """Return a change to the scores of a run, optionally of one measure, that are not finite."""

    def change(record: dict[str, Any]) -> None:
        for row in record["scores"]:
            if row["name"].startswith(measure):
                row["value"] = None

    return _of(arm, change, seed)


def lower_is_better(measure: str) -> Change:
    """Return a change to the scores of a measure, which have no chance level and are better if lower."""

    def change(record: dict[str, Any]) -> None:
        for row in record["scores"]:
            if row["name"].startswith(measure):
                row |= {"higher_is_better": False, "chance": None, "stderr": None}

    return _of("", change)


def saw_in_stage_1(share: float | None, *arms: str, seed: int | None = None) -> Change:
    """Return a change to the share of evaluated images that stage 1 of arms saw; None if not recorded."""

    def change(record: dict[str, Any]) -> None:
        for row in record["scores"]:
            row["extra"] = {k: v for k, v in row["extra"].items() if k != "seen_in_stage_1"}
            row["extra"] |= {} if share is None else {"seen_in_stage_1": share}

    return in_turn(*(_of(arm, change, seed) for arm in arms))


def without_arm(arm: str) -> Change:
    """Return a change to recipes in all records, which do not list an arm."""

    def change(record: dict[str, Any]) -> None:
        blocks = record["recipe"]["text"].split("[[arm]]")
        record["recipe"]["text"] = "[[arm]]".join(b for b in blocks if f'name = "{arm}"' not in b)

    return _of("", change)


def truncated(run: str) -> Callable[[Path], None]:
    """Return a change that cuts the file of a record in half."""

    def cut(folder: Path) -> None:
        path = folder / run / "record.json"
        path.write_text(path.read_text()[: path.stat().st_size // 2])

    return cut


def absent(*runs: str) -> Callable[[Path], None]:
    """Return a change that removes the folders of runs, or of arms."""

    def remove(folder: Path) -> None:
        for run in runs:
            shutil.rmtree(folder / run)

    return remove


def copied(*runs: str) -> Callable[[Path], None]:
    """Return a change that replaces runs by copies of seed 0 of their arm, such as `people/seed1`."""

    def copy_runs(folder: Path) -> None:
        for run in runs:
            first, place = folder / run.partition("/")[0] / "seed0", folder / run
            record = json.loads((first / "record.json").read_text())
            record["seed"] = int(run.rpartition("seed")[2])
            write_record(place / "record.json", record)
            shutil.copy(first / "items.safetensors", place)

    return copy_runs


def lost_plan(folder: Path) -> None:
    """Remove the plan whose hash is in the records."""
    for path in folder.glob("plan.*"):
        path.unlink()


def with_items(
    is_alike: bool, baseline: str = "pixels 32 x 32", share: float = 0.57
) -> Callable[[Path], None]:
    """Write item values of each run and of a trivial model, which is correct for a share of the items.

    is_alike: an arm is right where the trivial model is, and in some more; else in other judgments.
    """

    def write(folder: Path) -> None:
        for path in folder.glob("*/seed*/record.json"):
            [row] = json.loads(path.read_text())["scores"]
            num, value = row["num_examples"], row["value"]
            values = (value * num - np.arange(num)).clip(0, 1)
            if not is_alike:
                values = np.random.default_rng(0).permutation(values)
            trivial = {baseline: np.arange(num) < share * num}
            write_items(path.parent, {row["name"]: Items(values, np.arange(num)[:, None], None, trivial)})

    return write


def with_equal_items(folder: Path) -> None:
    """Write item values of each run that depend on its score alone: arms differ on the same items in all seeds."""
    for path in folder.glob("*/seed*/record.json"):
        [row] = json.loads(path.read_text())["scores"]
        num = row["num_examples"]
        values = answer(row["value"], -np.arange(num))
        write_items(path.parent, {row["name"]: Items(values, np.arange(num)[:, None], None)})


def by_hand_edited(run: str) -> Callable[[Path], None]:
    """Return a change that edits a digit of a score in the file of a record."""

    def edit(folder: Path) -> None:
        path = folder / run / "record.json"
        record = json.loads(path.read_text())
        record["scores"][0]["value"] += 0.02
        path.write_text(json.dumps(record, indent=2) + "\n")

    return edit
