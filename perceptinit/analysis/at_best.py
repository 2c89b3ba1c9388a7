"""Compare arms at their tuned settings, and withhold the verdict if tuning budgets differ."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from perceptinit.errors import PerceptInitError, UsageError
from perceptinit.recipe.settings import TuneConfig
from perceptinit.recipe.tuning import flatten
from perceptinit.results.runs import RunSet
from perceptinit.results.tuned import Tuned, find_tuning, read_searches_beside
from perceptinit.seeding import generator

EDGE = 0.05  # share of a setting's search range, on its scale (linear or log)
MIN_STUDIES = 5  # required to resample studies
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
    "Each arm has its own settings, the best of its median study ({trials} trials in each of {studies} "
    "studies, by {measure} on validation data). This compares procedures, tuning included, and not starts "
    "alone."
)
HELD_FIXED = " The interval treats the chosen settings as fixed."
RESAMPLED = " The interval covers other searches: studies are resampled."


def resample_studies(runs: RunSet) -> Resampled | None:
    """Return the [tune] table and, by arm, the median best score of five resampled studies.

    The same studies are resampled for all arms. Each resample has five studies even if there are more,
    because final runs use the settings of a single study (coverage: docs/calibration.md). Returns None for
    fewer than five studies, or if trials are missing.
    """
    tuned = _find_tuned(runs, runs.arms)
    config = tuned[0].config if tuned and tuned[0].role else None
    if config is None or config.studies < MIN_STUDIES:
        return None
    try:
        searches = read_searches_beside(runs.runs[0].folder.parent.parent, runs.arms)
    except PerceptInitError:
        return None
    import numpy as np

    drawn = generator(0, "studies").integers(config.studies, size=(NUM_RESAMPLES, MIN_STUDIES))
    best = {s.arm: np.array([t.value for t in s.best_after(config.trials)], float) for s in searches}
    if best.keys() != set(runs.arms) or np.isnan([*best.values()]).any():
        return None
    return config, {arm: np.median(values[drawn], axis=1) for arm, values in best.items()}


def is_tuned(runs: RunSet) -> bool:
    """Return whether any arm has its own tuned settings; UsageError if the runs are trials."""
    roles = {each.role for each in _find_tuned(runs, runs.arms)}
    if "trial" in roles:
        raise UsageError(TRIALS_COMPARED)
    return "best" in roles


def _find_tuned(runs: RunSet, arms: Iterable[str]) -> list[Tuned]:
    return [find_tuning(run.record) for arm in arms for run in runs.arm_runs(arm) if run.record]


def find_bar(runs: RunSet, arm: str, reference: str) -> str:
    """Return why neither arm can be called better; empty if the arms were tuned alike or not at all."""
    tuned = {name: _find_tuned(runs, [name]) for name in (arm, reference)}
    own, others = ({each.num_trials for each in found} for found in tuned.values())
    if own != others:
        num, other = (" or ".join(map(str, sorted(found))) or "no" for found in (own, others))
        return (
            f"{arm} had {num} tuning trials and {reference} had {other}. A search with more trials finds "
            "better settings, so neither is called better."
        )
    searches = [each.how for found in tuned.values() for each in found if each.role]
    if any(search != searches[0] for search in searches):
        return (
            f"{arm} and {reference} were tuned with different [tune] settings, so neither is called better."
        )
    return ""


def tuned_keys(runs: RunSet) -> list[str]:
    """Return the paths of the tuned keys of all arms."""
    return list(dict.fromkeys(key for each in _find_tuned(runs, runs.arms) for key in each.keys))


def without_tuned(resolved: Mapping[str, Any], runs: RunSet) -> dict[str, Any]:
    """Return an arm's settings without the tuned keys of pretraining."""
    pretrain = resolved.get("pretrain")
    if not is_tuned(runs) or not isinstance(pretrain, Mapping):
        return dict(resolved)
    keys = tuned_keys(runs)
    return {**resolved, "pretrain": {k: v for k, v in pretrain.items() if f"pretrain.{k}" not in keys}}


def tuning_note(runs: RunSet, is_covered: bool) -> str:
    """Return how tuning limits the comparison; empty without tuning, or if budgets differ."""
    found = _find_tuned(runs, runs.arms)
    if not any(each.role for each in found):
        return SHARED if any(each.config for each in found) else ""
    configs = {(c.trials, c.studies, c.measure) for each in found if (c := each.config)}
    if len(configs) > 1 or not all(each.role for each in found):
        return ""
    [(trials, studies, measure)] = configs
    covered = RESAMPLED if is_covered else HELD_FIXED
    edges = "".join(f" {text}" for text in dict.fromkeys(_find_edges(runs)))
    return NOTE.format(trials=trials, studies=studies, measure=measure) + covered + edges


def _find_edges(runs: RunSet) -> Iterable[str]:
    """Yield a warning for each chosen setting within 5 % of an edge of the search space."""
    for arm in runs.arms:
        for tuned in _find_tuned(runs, [arm])[:1]:
            space = dict(flatten(tuned.how.get("space", {})))
            for path, value in tuned.settings.items():
                low, high = (float(space[path][key]) for key in ("low", "high"))
                scale = math.log if space[path].get("scale") == "log" else float
                place = (scale(float(value)) - scale(low)) / (scale(high) - scale(low))
                if not EDGE <= place <= 1 - EDGE:
                    yield (
                        f"{path} of {arm} ({value}) is within {100 * EDGE:g} % of an edge of the search "
                        "space. A wider space may change the answer."
                    )


def settings_lines(runs: RunSet) -> list[str]:
    """Return the tuned settings of each arm, such as `pi at its best: pretrain.lr 0.0031`."""
    first = {arm: next(iter(_find_tuned(runs, [arm])), None) for arm in runs.arms}
    return [f"{arm} at its best: {settings_in_words(t.settings)}" for arm, t in first.items() if t and t.role]


def settings_in_words(settings: Mapping[str, str]) -> str:
    """Return settings as text: `pretrain.lr 0.0031, init.lr 0.0007`."""
    return ", ".join(f"{path} {value}" for path, value in settings.items()) or "no tuned setting"
