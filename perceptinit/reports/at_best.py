"""Arms that were tuned: what their comparison asks then, and why it may say nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from perceptinit.errors import UsageError
from perceptinit.results.runs import RunSet
from perceptinit.results.tuned import Tuned, find_tuning

UNEQUAL_TRIALS = (
    "{arm} was given {num} trials of settings and {reference} {other}: whichever is higher, a search that tries more "
    "finds more, so that neither is called better."
)
UNEQUAL_SEARCH = "{arm} and {reference} were tuned over different settings or by different scores, so that neither is called better."
TRIALS_COMPARED = (
    "these are trials of tuning, in which an arm's settings differ from run to run: nothing to compare. `perceptinit "
    "report RECIPE` shows what they found; the arms at their best are in the folder whose name ends in -best"
)
NOTE = (
    "Each arm has settings of its own, the best of its median study ({trials} trials in each of {studies} studies, by "
    "{measure} on validation data): this compares procedures, tuning included, and not starts alone."
)


def is_tuned(runs: RunSet) -> bool:
    """Return whether any arm is shown at settings that were tuned for it.

    Raises UsageError for trials: an arm's settings differ from trial to trial, so that arms cannot be compared by them.
    """
    roles = {each.role for each in _find_tuned(runs, runs.arms)}
    if "trial" in roles:
        raise UsageError(TRIALS_COMPARED)
    return "best" in roles


def _find_tuned(runs: RunSet, arms: Iterable[str]) -> list[Tuned]:
    return [find_tuning(run.record) for arm in arms for run in runs.arm_runs(arm) if run.record]


def find_bar(runs: RunSet, arm: str, reference: str) -> str:
    """Return why neither of two arms may be called better; empty where both were tuned alike, or not at all."""
    tuned = {name: _find_tuned(runs, [name]) for name in (arm, reference)}
    own, other = ({each.num_trials for each in found} for found in tuned.values())
    if own != other:
        num, others = (" or ".join(map(str, sorted(found))) or "no" for found in (own, other))
        return UNEQUAL_TRIALS.format(arm=arm, reference=reference, num=num, other=others)
    searches = [each.how for each in _find_tuned(runs, [arm, reference]) if each.role]
    if any(search != searches[0] for search in searches):
        return UNEQUAL_SEARCH.format(arm=arm, reference=reference)
    return ""


def tuned_keys(runs: RunSet) -> list[str]:
    """Return the paths of all keys that were tuned."""
    return list(dict.fromkeys(key for each in _find_tuned(runs, runs.arms) for key in each.keys))


def without_tuned(resolved: Mapping[str, Any], runs: RunSet) -> dict[str, Any]:
    """Return an arm's settings without the keys of pretraining that were tuned."""
    pretrain = resolved.get("pretrain")
    if not is_tuned(runs) or not isinstance(pretrain, Mapping):
        return dict(resolved)
    keys = tuned_keys(runs)
    left = {key: value for key, value in pretrain.items() if f"pretrain.{key}" not in keys}
    return {**resolved, "pretrain": left}


def tuning_note(runs: RunSet) -> list[str]:
    """Return what tuning makes of the comparison; empty without any."""
    configs = [each.config for each in _find_tuned(runs, runs.arms) if each.config and each.role]
    return [NOTE.format(trials=c.trials, studies=c.studies, measure=c.measure) for c in configs[:1]]


def settings_lines(runs: RunSet) -> list[str]:
    """Return what each arm was given: `pi at its best: pretrain.lr 0.0031`."""
    return [
        f"{arm} at its best: {settings_in_words(found.settings)}"
        for arm in runs.arms
        for found in _find_tuned(runs, [arm])[:1]
        if found.role
    ]


def settings_in_words(settings: Mapping[str, str]) -> str:
    """Return settings as `pretrain.lr 0.0031, init.lr 0.0007`."""
    shown = (f"{path} {value}" for path, value in settings.items())
    return ", ".join(shown) or "nothing that is tuned"
