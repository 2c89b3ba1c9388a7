"""Differences between compared runs in settings, software, hardware and batches."""

from collections.abc import Iterable, Iterator, Mapping
from operator import attrgetter
from typing import Any

from perceptinit.analysis.at_best import tuned_keys, without_tuned
from perceptinit.errors import UsageError
from perceptinit.grouping import group
from perceptinit.recipe.recipe import fingerprint_difference
from perceptinit.results.runs import LoadedRun, RunSet, walk_tables

Record = Mapping[str, Any]
MAX_NAMED = 3
MACHINE = ("python", "device", "processor")
BATCHES = "batches"
PRECISION = "precision"
FIRST_WEIGHTS = "weights before stage 1"
TEXT_TOWER = "text tower after stage 1"
HASHED = (FIRST_WEIGHTS, TEXT_TOWER, BATCHES)  # values that say nothing to readers


def find_unlike(runs: RunSet) -> Iterator[str]:
    """Yield differences between the arms of a seed, such as `torch 1.0 (people) and 2.13 (random)`."""
    in_order = sorted(runs.finished, key=attrgetter("seed"))
    facts = [(run, _facts(run.record)) for run in in_order if run.record]
    packages = set().union(*(record["environment"]["packages"] for record in runs.records))
    for name in (*sorted(packages), *MACHINE, PRECISION, FIRST_WEIGHTS, TEXT_TOWER, BATCHES):
        known = [(run, of_run[name]) for run, of_run in facts if of_run.get(name)]
        by_seed = group((run.seed, value) for run, value in known)
        arms = group((value, run.arm) for run, value in known if len({*by_seed[run.seed]}) > 1)
        if arms and name in HASHED:
            alike = dict.fromkeys(map(_list_arms, arms.values()))
            yield f"{name} of {' and of '.join([*alike][:MAX_NAMED])}"
        elif arms:
            yield _name_values(name, arms)
    for name, cells in runs.constants.items():
        arms = group((cells[arm], arm) for arm in filter(runs.arm_runs, cells))
        if len(arms) > 1:
            yield _name_values(name, arms)


def _facts(record: Record) -> dict[str, Any]:
    """Return what arms of a seed should have in common."""
    environment = record["environment"]
    machine = {key: environment.get(key) for key in MACHINE}
    hashes = record["hashes"]
    weights = {
        FIRST_WEIGHTS: (hashes.get("built") or {}).get("model"),
        TEXT_TOWER: (hashes.get("init") or {}).get("text"),
        BATCHES: hashes.get("pretrain_data"),
    }
    return {**environment["packages"], **machine, **weights, PRECISION: chosen_precision(record)}


def differ_in_precision(runs: RunSet) -> bool:
    """Return whether `precision = "auto"` selected differently in two finished runs, which are not paired."""
    return len({chosen_precision(run.record) for run in runs.finished if run.record} - {""}) > 1


def chosen_precision(record: Record) -> str:
    """Return what `precision = "auto"` selected in a run; empty if no stage has this setting."""
    is_auto = any(table.get("precision") == "auto" for table in walk_tables(record["arm"]["resolved"]))
    return record["environment"].get("auto_precision", "") if is_auto else ""


def _name_values(name: str, arms: Mapping[str, Iterable[str]]) -> str:
    """Return the values of a fact with their arms: `torch 1.0 (people) and 2.13 (random)`."""
    return f"{name} {' and '.join(f'{value} ({_list_arms(own)})' for value, own in arms.items())}"


def _list_arms(arms: Iterable[str]) -> str:
    return ", ".join([*dict.fromkeys(arms)][:MAX_NAMED])


def find_other_versions(runs: RunSet, plan: Mapping[str, Any]) -> Iterator[str]:
    """Yield the packages whose versions differ from those in a plan."""
    planned = plan["versions"]["packages"]
    for name, version in planned.items():
        used = {str(record["environment"]["packages"].get(name, version)) for record in runs.records}
        if others := sorted(used - {version}):
            yield f"{name} {', '.join(others)} instead of {version}"


def refuse_mixed_settings(runs: RunSet) -> None:
    """Raise UsageError if the runs differ in backbone, pretraining or evaluation."""
    first: tuple[LoadedRun, dict[str, Any]] | None = None
    tuned = tuned_keys(runs)
    for run in (run for run in runs.runs if run.record):
        resolved = without_tuned(run.record["arm"]["resolved"], tuned)
        settings = {key: resolved.get(key) for key in ("backbone", "pretrain", "eval")}
        other, expected = first = first or (run, settings)
        if settings != expected:
            raise UsageError(
                f"{other.folder} and {run.folder} differ in more than their initialization, so their "
                f"difference has no single cause:\n{fingerprint_difference(expected, settings)}"
            )
