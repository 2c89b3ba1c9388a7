"""Runs of simulated experiments in memory: thousands of comparisons without a file.

The records are those of `tests/situations`; per-item values are passed beside them.
"""

from __future__ import annotations

# S seeds, N images
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from situations.fields import stage_rows
from situations.made import Situation, run_hashes, score_rows, text_of

from perceptinit.analysis import compare as comparing
from perceptinit.recipe.reading import read_recipe
from perceptinit.recipe.settings import VerdictConfig
from perceptinit.results.planned import Planned, verdict_of
from perceptinit.results.record import new_record
from perceptinit.results.runs import LoadedRun, RunSet
from perceptinit.results.states import State
from perceptinit.types import Items
from perceptinit.verdict import verdict
from perceptinit.verdict.headline import Judged

Run = tuple[str, int]  # arm, seed
FOLDER = Path("designs")  # is not created
SAMPLES = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """A simulated experiment.

    Args:
        situation: Arms, scores and settings.
        delta: Of `[verdict]`, in points.
        items: Values of each run by score name, shape (N,); the runs of a score have the same images.
        states: Runs that are not finished.
        copies: Runs that are copies of the first seed of their arm.
        at: Number of samples at which arms are compared; None for the end.
    """

    situation: Situation
    delta: float
    items: Mapping[Run, Mapping[str, np.ndarray]]
    states: Mapping[Run, State] = field(default_factory=dict)
    copies: frozenset[Run] = frozenset()
    at: int | None = None


def headline_in_memory(experiment: Experiment) -> list[str]:
    """Return the headline of an experiment. Figures that no firm sentence depends on are left out."""

    def read_items(folder: Path) -> dict[str, Items]:
        run = folder.parent.name, int(folder.name.removeprefix("seed"))
        return {name: _to_items(values) for name, values in experiment.items.get(run, {}).items()}

    with ExitStack() as patched:
        for module, name, function in (
            (comparing, "read_items", read_items),
            (verdict, "seeds_to_decide", lambda values, rule, parts: None),
            (verdict, "probabilities", lambda value, delta: None),
        ):
            patched.enter_context(mock.patch.object(module, name, function))
        return Judged.of(comparing.compare(load(experiment), experiment.at or "equal")).headline


def _to_items(values: np.ndarray) -> Items:
    return Items(values, _number(len(values)), None)


@cache
def _number(num: int) -> np.ndarray:
    return np.arange(num)[:, None]


def load(experiment: Experiment) -> RunSet:
    """Return the runs of an experiment as `load_runs` returns those of a folder."""
    situation = experiment.situation
    arms, num_seeds = tuple(situation.arms), situation.num_seeds
    planned = Planned(
        arms=arms,
        seeds=tuple(range(num_seeds)),
        verdict=VerdictConfig(delta=experiment.delta),
        expected=(),
        baseline=situation.baseline,
        summary="",
        name="designs",
        root=FOLDER,
        started="2026-01-01T00:00:00+00:00",
    )
    runs = tuple(_load_run(experiment, arm, seed) for arm in arms for seed in range(num_seeds))
    present = tuple(arm for arm in arms if any(run.arm == arm for run in runs))
    return RunSet("designs", "", situation.baseline, present, runs, **verdict_of([planned]))


def _load_run(experiment: Experiment, arm: str, seed: int) -> LoadedRun:
    state = experiment.states.get((arm, seed), "finished")
    folder = FOLDER / arm / f"seed{seed}"
    if state in ("not started", "unreadable"):
        return LoadedRun(arm, seed, folder, state, reason="damaged" if state == "unreadable" else "")
    record = make_record(experiment.situation, arm, seed, 0 if (arm, seed) in experiment.copies else seed)
    if state == "failed":
        record |= {"status": "failed", "scores": [], "error": "the loss is not finite (NaN) at step 40"}
    return LoadedRun.of_record(folder, state, record, record.get("error", ""))


def make_record(situation: Situation, arm: str, seed: int, copied: int) -> dict[str, Any]:
    """Return the record of a finished run with the scores and hashes of the seed `copied`."""
    known = _template(
        situation.measure, (situation.set_name, *situation.sets), arm, situation.init.get(arm, "")
    )
    record = {
        **known,
        "recipe": {**known["recipe"], "text": text_of(situation, situation.num_seeds)},
        "seed": seed,
        "status": "finished",
        "started": "2026-01-01T00:00:00+00:00",
        "scores": list(score_rows(situation, arm, copied)),
        "hashes": run_hashes(arm, copied),
        "init": stage_rows(known["arm"]["resolved"]["init"]),
    }
    environment = known["environment"]
    record["environment"] = {**environment, "packages": dict(environment["packages"])}
    situation.change(record)
    return record


@cache
def _template(measure: str, names: tuple[str, ...], arm: str, init: str) -> dict[str, Any]:
    """Return the record of an arm without results, which takes 20 ms."""
    situation = Situation(
        truth="",
        arms=dict.fromkeys(("random", arm), ()),
        measure=measure,
        set_name=names[0],
        sets={name: {} for name in names[1:]},
        init={arm: init} if init else {},
        num_seeds=1,
    )
    recipe = read_recipe(text_of(situation, 1), source="designs.toml")
    return new_record(recipe, next(each for each in recipe.arms if each.name == arm), 0, "cpu")
