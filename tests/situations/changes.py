"""Changes to the records of a situation: another machine, an edit, a missing plan."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from perceptinit.results.items import write_items
from perceptinit.results.record import write_record
from perceptinit.types import Items

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


def collapsed(arm: str) -> Change:
    """Return a change to an arm whose embeddings collapsed in stage 1."""
    metrics = {"spread_before": 0.66, "spread_after": 0.004, "two_afc_before": 0.55, "two_afc": 0.5}
    row = {"stage": "triplet-hinge", "name": "triplet-hinge", "metrics": metrics}
    return _of(arm, lambda record: record["init"].append(dict(row)))


def simulated_judgments() -> Mapping[str, str]:
    """Return the stages of arms with judgments of simulated observers."""
    shuffled = '{ use = "shuffled-votes", judgments = ' + SIMULATED + " }"
    return {
        "people": f'[{{ use = "triplet-hinge", judgments = {SIMULATED} }}]',
        "shuffled": f'[{{ use = "triplet-hinge", judgments = {shuffled} }}]',
    }


def tuned(arm: str, lr: float = 1e-3, trials: int = 5, studies: int = 3) -> Change:
    """Return a change to an arm with the best settings of its trials, for recipes with `[tune]`."""

    def at_best(record: dict[str, Any]) -> None:
        recipe = record["recipe"]
        recipe["overrides"] = ['tune.role="best"', f"pretrain.lr={lr}"]
        recipe["text"] = recipe["text"].replace("trials = 5", f"trials = {trials}")
        recipe["text"] = recipe["text"].replace("studies = 3", f"studies = {studies}")
        record["arm"]["resolved"]["pretrain"]["lr"] = lr

    return _of(arm, at_best)


def with_trials(**best: Sequence[float]) -> Callable[[Path], None]:
    """Write the trials of tuned arms next to their runs: two trials per study, of which the first is best.

    best: arm to the best score of each study, in per cent.
    """

    def write(folder: Path) -> None:
        for arm, values in best.items():
            record = json.loads((folder / arm / "seed0/record.json").read_text())
            record["recipe"]["overrides"] = ['tune.role="trial"', "pretrain.lr=0.002"]
            record["recipe"]["text"] = record["recipe"]["text"].replace(
                "studies = 3", f"studies = {len(values)}"
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


def by_hand_edited(run: str) -> Callable[[Path], None]:
    """Return a change that edits a digit of a score in the file of a record."""

    def edit(folder: Path) -> None:
        path = folder / run / "record.json"
        record = json.loads(path.read_text())
        record["scores"][0]["value"] += 0.02
        path.write_text(json.dumps(record, indent=2) + "\n")

    return edit
