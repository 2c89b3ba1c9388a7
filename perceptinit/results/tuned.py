"""Tuning results from records: settings and score of each trial, and the settings of a tuned arm."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from perceptinit.errors import RecipeError, TrainingError, UsageError
from perceptinit.grouping import group
from perceptinit.recipe.old_keys import restore_keys, restore_overrides
from perceptinit.recipe.settings import TuneConfig
from perceptinit.recipe.tables import apply_overrides, parse_toml
from perceptinit.recipe.tuning import flatten, read_tune_table
from perceptinit.registry import unknown
from perceptinit.results.measures import is_share, split_name
from perceptinit.results.record import RECORD
from perceptinit.results.runs import BEST, TRIALS, LoadedRun, load_run

_LOST = f"{TrainingError.__name__}: "  # prefix of the recorded error if training diverged


@dataclass(frozen=True, slots=True)
class Tuned:
    """The `[tune]` table of a run's recipe.

    Attributes:
        config: None without `[tune]`.
        how: The raw table, which is equal for arms that were tuned in the same way.
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
        """Number of trials for the run's arm; 0 for a run at shared settings."""
        return self.config.trials * self.config.searches if self.config and self.role == "best" else 0

    @property
    def keys(self) -> tuple[str, ...]:
        """Paths of the tuned keys; empty for a run at shared settings."""
        return tuple(path for path, _ in flatten(self.how.get("space", {}))) if self.role else ()


def find_tuning(record: Mapping[str, Any]) -> Tuned:
    """Return the tuning of a record.

    Raises:
        RecipeError: If `[tune]` is invalid.
    """
    recipe = record["recipe"]
    return parse_tuning(recipe["text"], recipe["source"], tuple(recipe["overrides"]))


@cache
def parse_tuning(text: str, source: str, overrides: tuple[str, ...]) -> Tuned:
    """Return the tuning of a recipe with overrides; RecipeError if `[tune]` is invalid."""
    tables = restore_keys(parse_toml(text, source))
    overrides = restore_overrides(overrides)
    apply_overrides(tables, overrides)
    how = tables.get("tune", {})
    if not isinstance(how, Mapping) or not how:
        return Tuned(None, {}, {})
    config, ranges, problems = read_tune_table(how)
    if problems:
        raise RecipeError(problems, source)
    given = [[part.strip() for part in text.partition("=")] for text in overrides]
    return Tuned(config, how, {path: value for path, _, value in given if path in ranges})


def is_over(run: LoadedRun) -> bool:
    """Return whether a trial is complete, with a score or because its training diverged."""
    return run.state == "finished" or (run.state == "failed" and run.reason.startswith(_LOST))


@dataclass(frozen=True, slots=True)
class Trial:
    """A completed trial of an arm.

    Attributes:
        number: k * searches + s for trial k of search s.
        settings: Values of the tuned keys that affect the arm, by path.
        value: The score; None if training diverged or the score is not finite.
        rank: The value, negated if lower is better; -inf without a value.
        is_share: Whether the score is reported in percent.
    """

    arm: str
    number: int
    settings: Mapping[str, str]
    value: float | None = None
    rank: float = -math.inf
    is_share: bool = False


@dataclass(frozen=True, slots=True)
class Search:
    """All trials of an arm, ordered by number."""

    arm: str
    config: TuneConfig
    trials: tuple[Trial, ...]

    def best_after(self, num: int) -> list[Trial]:
        """Return the best of the first `num` trials of each search; a tie goes to the earlier trial."""
        searches = [self.trials[s :: self.config.searches] for s in range(self.config.searches)]
        return [max(own[:num], key=lambda trial: trial.rank) for own in searches]

    def median(self, num: int | None = None) -> Trial:
        """Return the best trial of the median search; of two middle searches, the worse one.

        Args:
            num: Number of trials of each search to use. Default: all.
        """
        best = self.best_after(num or self.config.trials)
        return sorted(best, key=lambda trial: -trial.rank)[len(best) // 2]


def read_searches(runs: Iterable[LoadedRun], config: TuneConfig, arms: Sequence[str]) -> list[Search]:
    """Return the search of each arm whose trials are all complete.

    Raises:
        UsageError: If a finished trial has no score of the measure.
    """
    found = {(run.arm, run.seed - config.seed): _read_trial(run, config) for run in runs if is_over(run)}
    numbers = range(config.trials * config.searches)
    return [
        Search(arm, config, tuple(found[arm, number] for number in numbers))
        for arm in arms
        if all((arm, number) in found for number in numbers)
    ]


def read_searches_beside(root: Path, arms: Sequence[str]) -> list[Search]:
    """Return the searches that belong to `root`, a folder with runs at shared or at best settings."""
    trials = list(find_trials(root.with_name(root.name.removesuffix(BEST) + TRIALS)))
    configs = [config for run in trials if (config := find_tuning(run.record).config)]
    largest = max(configs, key=lambda c: c.trials * c.searches, default=None)
    return read_searches(trials, largest, arms) if largest else []


def _read_trial(run: LoadedRun, config: TuneConfig) -> Trial:
    trial = Trial(run.arm, run.seed - config.seed, _read_settings(run.record))
    if run.state != "finished":
        return trial
    by_measure = group((split_name(row["name"])[0], row) for row in run.last_scores)
    own = by_measure.get(config.measure, [])
    if not own:
        raise UsageError(
            unknown("[tune.eval] has no score of the [tune] measure", config.measure, by_measure)
        )
    if any(row["value"] is None for row in own):
        return trial
    value = sum(row["value"] for row in own) / len(own)
    rank = value if own[0]["higher_is_better"] else -value
    return replace(trial, value=value, rank=rank, is_share=is_share(config.measure, own[0]["chance"]))


def _read_settings(record: Mapping[str, Any]) -> dict[str, str]:
    """Return the tuned settings that affect the run's arm; `init.lr` affects no arm without stages."""
    resolved = record["arm"]["resolved"]
    # a post-hoc stage can inherit from a shared [init] stage
    own_stages = [*resolved["init"], *resolved["posthoc"]]
    stages = {"pretrain": [resolved.get("pretrain") or {}], "init": own_stages}
    return {
        path: value
        for path, value in find_tuning(record).settings.items()
        for slot, key in [(path.partition(".")[0], path.rpartition(".")[2])]
        if any(str(stage.get(key)) == value for stage in stages.get(slot, []))
    }


def find_trials(root: Path) -> Iterator[LoadedRun]:
    """Yield the recorded trials in a folder."""
    for file in sorted(root.glob(f"*/seed*/{RECORD}")):
        run = load_run(file.parent)
        if run.record and find_tuning(run.record).role == "trial":
            yield run
