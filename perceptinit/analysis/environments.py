"""Differences between compared runs in software, hardware and batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from perceptinit.results.runs import RunSet

Record = Mapping[str, Any]
MAX_NAMED = 3


def find_unlike(runs: RunSet) -> Iterator[str]:
    """Yield differences between the arms of a seed, such as `torch 1.0 (people) and 2.13 (random)`."""
    for name, read in _facts(runs).items():
        by_seed: dict[int, dict[str, list[str]]] = {}
        for run in runs.finished:
            value = read(run.record)
            if value:
                by_seed.setdefault(run.seed, {}).setdefault(value, []).append(run.arm)
        unlike = [values for values in by_seed.values() if len(values) > 1]
        if unlike:
            arms: dict[str, dict[str, None]] = {}
            for values in unlike:
                for value, found in values.items():
                    arms.setdefault(value, {}).update(dict.fromkeys(found))
            short = {value: value[:8] if len(value) == 64 else value for value in arms}  # hashes
            parts = [f"{short[value]} ({', '.join([*found][:MAX_NAMED])})" for value, found in arms.items()]
            yield f"{name} {' and '.join(parts)}"


def _facts(runs: RunSet) -> dict[str, Callable[[Record], str]]:
    """Return the functions that read the compared facts from a record, by title of the fact."""

    def package(name: str) -> Callable[[Record], str]:
        return lambda record: str(record["environment"]["packages"].get(name, ""))

    def machine(name: str) -> Callable[[Record], str]:
        return lambda record: str(record["environment"].get(name, ""))

    names = sorted({name for record in runs.records for name in record["environment"]["packages"]})
    return {
        **{name: package(name) for name in names},
        **{name: machine(name) for name in ("python", "device", "processor")},
        "batches": lambda record: str(record["hashes"].get("pretrain_data") or ""),
    }


def find_other_versions(runs: RunSet, plan: Mapping[str, Any]) -> Iterator[str]:
    """Yield the packages whose versions differ from those in a plan."""
    planned = plan["versions"]["packages"]
    for name, version in planned.items():
        used = {str(record["environment"]["packages"].get(name, version)) for record in runs.records}
        if others := sorted(used - {version}):
            yield f"{name} {', '.join(others)} instead of {version}"
