"""Tuning, read from records: the settings and score of each trial, and the settings chosen for an arm."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from perceptinit.errors import RecipeError, TrainingError, UsageError
from perceptinit.recipe.settings import TuneConfig
from perceptinit.recipe.tables import apply_overrides, parse_toml
from perceptinit.recipe.tuning import flatten, read_tune_table
from perceptinit.registry import unknown
from perceptinit.results.measures import is_share, split_name
from perceptinit.results.record import RECORD
from perceptinit.results.runs import BEST, TRIALS, LoadedRun, load_run
from perceptinit.results.states import RunState

_LOST = f"{TrainingError.__name__}: "  # start of the error of a record whose training diverged


@dataclass(frozen=True, slots=True)
class Tuned:
    """The `[tune]` of a run's recipe.

    Attributes:
        config: None without `[tune]`.
        how: The whole table, equal for arms that were tuned in the same way.
        settings: Values of the tuned keys in the run, by path.
    """

    config: TuneConfig | None
    how: Mapping[str, Any]
    settings: Mapping[str, str]

    @property
    def role(self) -> str:
        return (self.config and self.config.role) or ""

    @property
    def num_trials(self) -> int:
        """Number of settings that were tried for the run's arm; 0 for a run at shared settings."""
        return self.config.trials * self.config.studies if self.config and self.role == "best" else 0

    @property
    def keys(self) -> tuple[str, ...]:
        """Paths of the tuned keys; empty for a run at shared settings."""
        return tuple(path for path, _ in flatten(self.how.get("space", {}))) if self.role else ()


def find_tuning(record: Mapping[str, Any]) -> Tuned:
    """Return the tuning of a record; empty for a record without a recipe, as plans have.

    Raises:
        RecipeError: If its `[tune]` is not valid.
    """
    if "recipe" not in record:
        return Tuned(None, {}, {})
    recipe = record["recipe"]
    return parse_tuning(recipe["text"], recipe["source"], tuple(recipe["overrides"]))


@cache
def parse_tuning(text: str, source: str, overrides: tuple[str, ...]) -> Tuned:
    """Return the tuning of a recipe's text with its overrides; RecipeError if it is not valid."""
    tables = parse_toml(text, source)
    apply_overrides(tables, overrides)
    how = tables.get("tune", {})
    if not isinstance(how, Mapping) or not how:
        return Tuned(None, {}, {})
    config, ranges, problems = read_tune_table(how)
    if problems:
        raise RecipeError(problems, source)
    given = [[part.strip() for part in text.partition("=")] for text in overrides]
    return Tuned(config, how, {path: value for path, _, value in given if path in ranges})


def is_over(run: RunState | LoadedRun) -> bool:
    """Return whether a trial ended: with a score, or because its training diverged."""
    return run.state == "finished" or (run.state == "failed" and run.reason.startswith(_LOST))


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial of an arm that is over.

    Attributes:
        number: k * studies + s for trial k of study s.
        settings: Values of the tuned keys that the arm has, by path.
        value: The score, None if training diverged or the score is not finite.
        rank: Higher is better for every measure.
        is_share: Whether the score is reported in per cent.
    """

    arm: str
    number: int
    settings: Mapping[str, str]
    value: float | None = None
    rank: float = -math.inf
    is_share: bool = False


@dataclass(frozen=True, slots=True)
class Search:
    """All trials of an arm, in the order of their numbers."""

    arm: str
    config: TuneConfig
    trials: tuple[Trial, ...]

    def best_after(self, num: int) -> list[Trial]:
        """Return the best of the first `num` trials of each study, the first of equal ones."""
        studies = [self.trials[s :: self.config.studies] for s in range(self.config.studies)]
        return [max(study[:num], key=lambda trial: trial.rank) for study in studies]

    def median(self, num: int | None = None) -> Trial:
        """Return the best trial of the median study, the worse of two middle ones.

        Args:
            num: Use the first trials of each study only; None: all.
        """
        best = self.best_after(num or self.config.trials)
        return sorted(best, key=lambda trial: -trial.rank)[len(best) // 2]


def read_searches(runs: Iterable[LoadedRun], config: TuneConfig, arms: Sequence[str]) -> list[Search]:
    """Return the trials of each arm whose trials are all over.

    Raises:
        UsageError: If a finished trial has no score of the measure.
    """
    found = {(run.arm, run.seed - config.seed): _read_trial(run, config) for run in runs if is_over(run)}
    numbers = range(config.trials * config.studies)
    return [
        Search(arm, config, tuple(found[arm, number] for number in numbers))
        for arm in arms
        if all((arm, number) in found for number in numbers)
    ]


def read_searches_beside(root: Path, arms: Sequence[str]) -> list[Search]:
    """Return `read_searches` of the trials beside a folder of runs, at shared or at the best settings."""
    trials = list(find_trials(root.with_name(root.name.removesuffix(BEST) + TRIALS)))
    configs = [config for run in trials if (config := find_tuning(run.record).config)]
    largest = max(configs, key=lambda c: c.trials * c.studies, default=None)
    return read_searches(trials, largest, arms) if largest else []


def _read_trial(run: LoadedRun, config: TuneConfig) -> Trial:
    trial = Trial(run.arm, run.seed - config.seed, _read_settings(run.record))
    if run.state != "finished":
        return trial
    rows = [row for row in run.scores if row["samples_seen"] == run.samples_seen]
    own = [row for row in rows if split_name(row["name"])[0] == config.measure]
    if not own:
        names = dict.fromkeys(split_name(row["name"])[0] for row in rows)
        raise UsageError(unknown("[tune.eval] has no score of the [tune] measure", config.measure, names))
    if any(row["value"] is None for row in own):
        return trial
    value = sum(row["value"] for row in own) / len(own)
    rank = value if own[0]["higher_is_better"] else -value
    return replace(trial, value=value, rank=rank, is_share=is_share(config.measure, own[0]["chance"]))


def _read_settings(record: Mapping[str, Any]) -> dict[str, str]:
    """Return the tuned settings of a run that its arm has: `init.lr` has no effect without a stage."""
    resolved = record["arm"]["resolved"]
    # a stage after pretraining may be like a shared one, too
    own_stages = [*resolved["init"], *resolved["posthoc"]]
    stages = {"pretrain": [resolved.get("pretrain") or {}], "init": own_stages}
    return {
        path: value
        for path, value in find_tuning(record).settings.items()
        for slot, key in [(path.partition(".")[0], path.rpartition(".")[2])]
        if any(str(stage.get(key)) == value for stage in stages.get(slot, []))
    }


def find_trials(root: Path) -> Iterator[LoadedRun]:
    """Yield the trials with a record in the folder of trials."""
    for file in sorted(root.glob(f"*/seed*/{RECORD}")):
        run = load_run(file)
        if run.record and find_tuning(run.record).role == "trial":
            yield run
