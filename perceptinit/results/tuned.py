"""What records say of tuning: the settings that were tried, what each trial scored, and what an arm takes from them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from perceptinit.configs import read_config
from perceptinit.errors import Problem, RecipeError, TrainingError, UsageError, shown
from perceptinit.recipe.settings import TuneConfig
from perceptinit.recipe.tables import apply_overrides, parse_toml
from perceptinit.recipe.tuning import flat
from perceptinit.results.measures import is_share, split_name
from perceptinit.results.record import RECORD
from perceptinit.results.runs import LoadedRun, load_run
from perceptinit.results.states import RunState

_LOST = f"{TrainingError.__name__}: "  # so a record begins to say that training could not go on
_LOWEST = -math.inf


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a run's recipe says of tuning; config: None without `[tune]`.

    how: the whole table, equal for arms that were tuned alike. settings: what was set for the run, by path.
    """

    config: TuneConfig | None
    how: Mapping[str, Any]
    settings: Mapping[str, str]

    @property
    def role(self) -> str:
        return (self.config and self.config.role) or ""

    @property
    def num_trials(self) -> int:
        """Return how many settings were tried for the run's arm; 0 for a run at shared settings."""
        is_best = self.config is not None and self.role == "best"
        return self.config.trials * self.config.studies if self.config and is_best else 0

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the paths of the keys that were tuned, none for a run at shared settings."""
        return tuple(path for path, _ in flat(self.how.get("space", {}))) if self.role else ()


def find_tuning(record: Mapping[str, Any]) -> Tuned:
    """Return what a record says of its tuning, nothing where it holds an arm alone, as plans do.

    Raises RecipeError when its `[tune]` cannot be read.
    """
    if "recipe" not in record:
        return Tuned(None, {}, {})
    recipe = record["recipe"]
    return parse_tuning(recipe["text"], recipe["source"], tuple(recipe["overrides"]))


@cache
def parse_tuning(text: str, source: str, overrides: tuple[str, ...]) -> Tuned:
    """Return what a recipe's text with its overrides says of tuning; RecipeError when it cannot be read."""
    tables = parse_toml(text, source)
    apply_overrides(tables, overrides)
    how = tables.get("tune", {})
    if not isinstance(how, Mapping) or not how:
        return Tuned(None, {}, {})
    own = {key: value for key, value in how.items() if key not in ("eval", "space")}
    config, problems = read_config(TuneConfig, own, "tune")
    space = how.get("space")
    if not isinstance(space, Mapping):
        problems.append(Problem("tune.space", f"expected a table, got {shown(repr(space))}"))
    if config is None or not isinstance(space, Mapping):
        raise RecipeError(problems, source)
    paths = dict(flat(space))
    given = [[part.strip() for part in text.partition("=")] for text in overrides]
    return Tuned(config, how, {path: value for path, _, value in given if path in paths})


def is_over(run: RunState | LoadedRun) -> bool:
    """Return whether a trial has come to its end: with a score, or with its training lost."""
    return run.state == "finished" or (run.state == "failed" and run.reason.startswith(_LOST))


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial of an arm that is over; settings: what was tried, of the keys that the arm has.

    number: k * studies + s is trial k of study s. value: its score, None when training was lost, as by a loss that
    is not finite, or the score is no number. rank: higher is better, whatever the measure. is_share: read in per cent.
    """

    arm: str
    number: int
    settings: Mapping[str, str]
    value: float | None
    rank: float
    is_share: bool = False


@dataclass(frozen=True, slots=True)
class Search:
    """All trials of an arm, in the order of their numbers."""

    arm: str
    config: TuneConfig
    trials: tuple[Trial, ...]

    def best_after(self, num: int) -> list[Trial]:
        """Return the best of the first `num` trials of each study; the first of several that are equal."""
        studies = [self.trials[s :: self.config.studies] for s in range(self.config.studies)]
        return [max(study[:num], key=lambda trial: trial.rank) for study in studies]

    def median(self, num: int | None = None) -> Trial:
        """Return the best trial of the median study, the worse of two that are in the middle.

        num: of the first trials of each study; all of them unless given.
        """
        best = self.best_after(num or self.config.trials)
        return sorted(best, key=lambda trial: -trial.rank)[len(best) // 2]


def read_searches(runs: Iterable[LoadedRun], config: TuneConfig, arms: Sequence[str]) -> list[Search]:
    """Return the trials of each arm, for arms of which all are over.

    Raises UsageError when a finished trial has no score of the measure.
    """
    found = {(t.arm, t.number): t for run in runs if is_over(run) for t in [_trial(run, config)]}
    numbers = range(config.trials * config.studies)
    return [
        Search(arm, config, tuple(found[arm, number] for number in numbers))
        for arm in arms
        if all((arm, number) in found for number in numbers)
    ]


def _trial(run: LoadedRun, config: TuneConfig) -> Trial:
    number, settings = run.seed - config.seed, _of_arm(run.record)
    if run.state != "finished":
        return Trial(run.arm, number, settings, None, _LOWEST)
    rows = [row for row in run.scores if row["samples_seen"] == run.samples_seen]
    own = [row for row in rows if split_name(row["name"])[0] == config.measure]
    if not own:
        names = ", ".join(dict.fromkeys(split_name(row["name"])[0] for row in rows))
        raise UsageError(
            f"[tune] measure = '{config.measure}': [tune.eval] gives no such score; it gives {names or 'none'}"
        )
    if any(row["value"] is None for row in own):
        return Trial(run.arm, number, settings, None, _LOWEST)
    value = sum(row["value"] for row in own) / len(own)
    rank = value if own[0]["higher_is_better"] else -value
    share = is_share(config.measure, own[0]["chance"])
    return Trial(run.arm, number, settings, value, rank, share)


def _of_arm(record: Mapping[str, Any]) -> dict[str, str]:
    """Return what was set for a run and is found among its arm's settings: `init.lr` means nothing without a stage."""
    resolved = record["arm"]["resolved"]
    # a stage after pretraining may be like a shared one, too
    own_stages = [*resolved["init"], *resolved["posthoc"]]
    stages = {"pretrain": [resolved.get("pretrain") or {}], "init": own_stages}

    def has(path: str, value: str) -> bool:
        slot, key = path.partition(".")[0], path.rpartition(".")[2]
        return any(str(stage.get(key)) == value for stage in stages.get(slot, []))

    return {path: value for path, value in find_tuning(record).settings.items() if has(path, value)}


def trial_runs(root: Path) -> Iterator[LoadedRun]:
    """Yield the trials that left a record under the folder of trials."""
    for file in sorted(root.glob(f"*/seed*/{RECORD}")):
        run = load_run(file)
        if run.record and find_tuning(run.record).role == "trial":
            yield run
