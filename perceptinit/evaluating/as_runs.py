"""Measured models as runs to compare: an arm for each model, or the arms of experiments over their seeds."""

# N items
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from perceptinit.evaluating.measure import Measured
from perceptinit.results.record import score_row
from perceptinit.results.runs import LoadedRun, RunSet
from perceptinit.results.source import MODELS, Progress
from perceptinit.types import Items, Score

NAME = "models"


def as_runs(measured: Sequence[Measured], baseline: str = "", summary: str = "") -> RunSet:
    """Return the scores of models as runs.

    Models of runs alone are arms with the seeds of their runs. Otherwise, each model is an arm.

    Args:
        measured: Models and layers with their scores.
        baseline: Arm with which the others are compared; empty for the best.
        summary: The sets in words.
    """
    are_runs = all(each.model.run for each in measured)
    by_run: dict[tuple[str, int], dict[int, Measured]] = {}
    for each in measured:
        arm, seed, samples = each.title, 0, 0
        if are_runs and (run := each.model.run):
            arm, seed, samples = f"{run.title} {each.layer}".strip(), run.seed, run.samples_seen
        by_run.setdefault((arm, seed), {})[samples] = each
    arms = tuple(dict.fromkeys(arm for arm, _ in by_run))
    runs = [_as_run(*cell, found) for cell, found in by_run.items()]
    runs.sort(key=lambda run: (arms.index(run.arm), run.seed))
    num_seeds = max(Counter(run.arm for run in runs).values(), default=0)
    return RunSet(
        NAME,
        summary,
        baseline,
        arms,
        tuple(runs),
        num_planned=num_seeds,
        num_listed=num_seeds,
        source=replace(MODELS, progress=Progress.along("samples_seen") if are_runs else Progress()),
    )


def _as_run(arm: str, seed: int, found: Mapping[int, Measured]) -> LoadedRun:
    """Return a run with the scores at each number of samples seen, and the items of the last ones."""
    last = found[max(found)]
    items = {score.name: _read_items(score) for score in last.scores}
    about: dict[str, Any] = {"layer": last.layer, "model": arm.removesuffix(f" {last.layer}")}
    if last.input:
        about["difference"] = f"{arm}: {last.input}"
    return LoadedRun(
        arm,
        seed,
        Path(NAME),
        "finished",
        scores=tuple(
            score_row(score, "", 0, samples) for samples in sorted(found) for score in found[samples].scores
        ),
        about={key: value for key, value in about.items() if value},
        items={name: each for name, each in items.items() if each},
    )


def _read_items(score: Score) -> Items | None:
    """Return the values that a score averages, or its jackknife pseudo-values."""
    items = score.items or score.pseudo_items
    return items and replace(items, values=np.asarray(items.values, np.float64))
