"""Compare arms at their tuned settings, and withhold the verdict if tuning budgets differ."""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

import numpy as np

from perceptinit.errors import PerceptInitError, UsageError
from perceptinit.recipe.settings import TuneConfig
from perceptinit.recipe.tuning import flatten
from perceptinit.results.runs import LoadedRun, RunSet
from perceptinit.results.tuned import Search, Tuned, find_tuning, read_searches_beside
from perceptinit.seeding import generator

EDGE = 0.05  # share of a setting's search range, on its scale (linear or log)
MIN_SEARCHES = 5  # required to resample searches
NUM_RESAMPLES = 2000
# the [tune] table, and resampled scores (NUM_RESAMPLES,) by arm
Resampled = tuple[TuneConfig, Mapping[str, Any]]
SHARED = (
    "The recipe has a [tune] table, but all arms ran at the same settings, which may suit one arm better."
)
TRIALS_COMPARED = (
    "these runs are tuning trials, whose settings differ from run to run. Compare the runs at the best "
    "settings, in the folder with the suffix -best, or show the trials with: perceptinit report RECIPE"
)
NOTE = (
    "Each arm has its own settings, the best of its median search ({trials} trials in each of {searches} "
    "searches, by {measure} on validation data). This compares procedures, tuning included, and not "
    "initializations alone."
)
HELD_FIXED = "The interval treats the chosen settings as fixed."
RESAMPLED = "The interval covers other searches: searches are resampled."


def resample_searches(runs: RunSet) -> Resampled | None:
    """Return the [tune] table and, by arm, the median best score of five resampled searches.

    The same searches are resampled for all arms. Each resample has five searches even if there are more,
    because final runs use the settings of a single search (coverage: docs/calibration.md). Returns None for
    fewer than five searches, or if trials are missing.
    """
    tuned = _find_tuned(runs.runs)
    config = tuned[0].config if tuned and tuned[0].role else None
    if config is None or config.searches < MIN_SEARCHES:
        return None
    try:
        searches = read_searches_beside(runs.runs[0].folder.parent.parent, runs.arms)
    except PerceptInitError:
        return None
    drawn = generator(0, "studies").integers(config.searches, size=(NUM_RESAMPLES, MIN_SEARCHES))
    medians = {search.arm: np.median(_best_scores(search)[drawn], axis=1) for search in searches}
    if medians.keys() != set(runs.arms) or np.isnan([*medians.values()]).any():
        return None
    return config, medians


def _best_scores(search: Search) -> np.ndarray:
    """Return the best score of each search; NaN for a search without a score."""
    return np.array([trial.value for trial in search.best_after(search.config.trials)], float)


def is_tuned(runs: RunSet) -> bool:
    """Return whether any arm has its own tuned settings; UsageError if the runs are trials."""
    roles = {each.role for each in _find_tuned(runs.runs)}
    if "trial" in roles:
        raise UsageError(TRIALS_COMPARED)
    return "best" in roles


def _find_tuned(runs: Iterable[LoadedRun]) -> list[Tuned]:
    return [find_tuning(run.record) for run in runs if run.record]


def find_bar(runs: RunSet, arm: str, reference: str) -> str:
    """Return why neither arm can be called better; empty if the arms were tuned alike or not at all."""
    own = _find_tuned(runs.arm_runs(arm))
    others = _find_tuned(runs.arm_runs(reference))
    if _count_trials(own) != _count_trials(others):
        return (
            f"{arm} had {_count_trials(own)} tuning trials and {reference} had {_count_trials(others)}. A "
            "search with more trials finds better settings, so neither is called better."
        )
    searches = [each.how for each in (*own, *others) if each.role]
    if any(search != searches[0] for search in searches):
        return (
            f"{arm} and {reference} were tuned with different [tune] settings, so neither is called better."
        )
    return ""


def _count_trials(found: Iterable[Tuned]) -> str:
    """Return the numbers of tuning trials of an arm's runs as text: `5 or 10`."""
    return " or ".join(map(str, sorted({each.num_trials for each in found}))) or "no"


def tuned_keys(runs: RunSet) -> list[str]:
    """Return the paths of the tuned keys of all arms; UsageError if the runs are trials."""
    found = _find_tuned(runs.runs) if is_tuned(runs) else []
    return list(dict.fromkeys(chain(*(each.keys for each in found))))


def without_tuned(resolved: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
    """Return an arm's settings without `keys`, such as `pretrain.lr`."""
    pretrain = resolved.get("pretrain")
    if not keys or not isinstance(pretrain, Mapping):
        return dict(resolved)
    return {**resolved, "pretrain": {k: v for k, v in pretrain.items() if f"pretrain.{k}" not in keys}}


def tuning_note(runs: RunSet, is_covered: bool) -> str:
    """Return how tuning limits the comparison; empty without tuning, or if budgets differ."""
    found = _find_tuned(runs.runs)
    configs = [each.config for each in found if each.config]
    tuned = {(c.trials, c.searches, c.measure) for c in configs if c.role}
    if not tuned:
        return SHARED if configs else ""
    if len(tuned) > 1 or not all(each.role for each in found):
        return ""
    [(trials, searches, measure)] = tuned
    note = NOTE.format(trials=trials, searches=searches, measure=measure)
    return " ".join([note, RESAMPLED if is_covered else HELD_FIXED, *dict.fromkeys(_find_edges(runs))])


def _find_edges(runs: RunSet) -> Iterator[str]:
    """Yield a warning for each chosen setting within 5 % of an edge of the search space."""
    for arm, tuned in _first_tuned(runs).items():
        space = dict(flatten(tuned.how.get("space", {})))
        for path, value in tuned.settings.items():
            scale = math.log if space[path].get("scale") == "log" else float
            low = scale(float(space[path]["low"]))
            high = scale(float(space[path]["high"]))
            place = (scale(float(value)) - low) / (high - low)
            if not EDGE <= place <= 1 - EDGE:
                yield (
                    f"{path} of {arm} ({value}) is within {100 * EDGE:g} % of an edge of the search space. A "
                    "wider space may change the answer."
                )


def _first_tuned(runs: RunSet) -> dict[str, Tuned]:
    """Return the tuning of the first recorded run of each arm."""
    found: dict[str, Tuned] = {}
    for run in runs.runs:
        if run.record:
            found.setdefault(run.arm, find_tuning(run.record))
    return found


def settings_lines(runs: RunSet) -> list[str]:
    """Return the tuned settings of each arm, such as `pi at its best: pretrain.lr 0.0031`."""
    tuned = _first_tuned(runs).items()
    return [f"{arm} at its best: {settings_in_words(each.settings)}" for arm, each in tuned if each.role]


def settings_in_words(settings: Mapping[str, str]) -> str:
    """Return settings as text: `pretrain.lr 0.0031, init.lr 0.0007`."""
    return ", ".join(f"{path} {value}" for path, value in settings.items()) or "no tuned setting"
