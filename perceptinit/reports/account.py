"""Page sections on the experiment: compared arms, fairness, cost, and commands to rerun it."""

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import MISSING, fields
from itertools import chain
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from perceptinit.analysis.at_best import is_tuned, tuned_keys, without_tuned
from perceptinit.analysis.comparison import Comparison
from perceptinit.analysis.contrasts import is_by_people, taught_by
from perceptinit.analysis.environments import find_unlike
from perceptinit.analysis.numbers import counts
from perceptinit.components.building import PARTS
from perceptinit.components.plugin_manager import build_plugin_manager
from perceptinit.configs import plain_value
from perceptinit.errors import PerceptInitError
from perceptinit.files.reading import read_json
from perceptinit.reports.stages import judgments_in_words
from perceptinit.results.measures import readable_seconds
from perceptinit.results.runs import LoadedRun, RunSet
from perceptinit.results.source import Fact
from perceptinit.types import Fit

ENERGY_FILE = "energy.json"
SAME_PEOPLE = "Stage 1 has judgments of the same people in all seeds, so no interval covers other people."
SharedRow = tuple[str, str, str]  # label, text, all settings (collapsed on the page)


def settings_row(label: str, kind: str, table: Mapping[str, Any] | None) -> SharedRow:
    """Return a row with a component's non-default settings and all of its settings."""
    if not table:
        return label, "none", ""
    changed = _list_settings(changed_settings(kind, table))
    return label, f"{table['use']}{changed}", _list_settings(_own_settings(table))[2:-1]


def changed_settings(kind: str, table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the non-default settings of a component; all settings if it is not installed."""
    defaults: dict[str, Any] = {}
    with suppress(PerceptInitError):
        cls: Any = build_plugin_manager().registry.get(kind, str(table["use"])).load()
        for f in fields(cls.Config):
            default = f.default if f.default_factory is MISSING else f.default_factory()
            defaults[f.name] = plain_value(default)
    own = _own_settings(table)
    return {key: value for key, value in own.items() if defaults.get(key, MISSING) != value}


def _own_settings(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return a component's settings without its parts, such as judgments."""
    return {key: value for key, value in table.items() if key not in ("use", *PARTS)}


def _list_settings(settings: Mapping[str, Any]) -> str:
    parts = []
    for key, value in settings.items():
        text = value if value and isinstance(value, str) else json.dumps(value)
        parts.append(f"{key}{_list_settings(value)}" if isinstance(value, Mapping) else f"{key} {text}")
    return f" ({', '.join(parts)})" if parts else ""


def _describe_stages(tables: Iterable[Mapping[str, Any]]) -> str:
    """Return the stages of an arm in order, with their data and non-default settings."""
    return ", then ".join(_describe_stage("initializer", table) for table in tables)


def _describe_stage(kind: str, table: Mapping[str, Any]) -> str:
    links = {"pretrain": "of", "judgments": "of" if kind == "judgments" else "on", "pairs": "on"}
    links["also_on"] = "also measured on"
    text = f"{table['use']}{_list_settings(changed_settings(kind, table))}"
    parts = [f"{links[part]} {_describe_stage(PARTS[part], table[part])}" for part in links if part in table]
    return " ".join([text, *parts])


def _describe_start(runs: RunSet, arm: str) -> str:
    """Return a description of an arm's initialization."""
    resolved = runs.resolved(arm)
    if not resolved:
        return "unknown, because no run of this arm has a record"
    return _describe_stages(resolved.get("init", [])) or "random initialization, unchanged"


def shared_rows(comparison: Comparison) -> list[SharedRow]:
    """Return the settings that all arms share."""
    runs = comparison.runs
    known = filter(None, map(runs.resolved, runs.arms))
    resolved = without_tuned(next(known, {}), tuned_keys(runs))
    pretrain = resolved.get("pretrain") or {}
    seen = counts(run.samples_seen for run in runs.finished)
    measured = [
        s.name + (f" ({n:,} examples)" if (n := s.facts["num_examples"]) else "") for s in comparison.scores
    ]
    of_scores = [("measured on", ", ".join(measured) or "nothing yet", "")]
    if not runs.source.one_run_decides:
        of_scores.append(("seeds", ", ".join(map(str, sorted({run.seed for run in runs.runs}))), ""))
    if Fact.SETTINGS not in runs.source.shows:
        return of_scores
    pairs = [
        settings_row(runs.progress.unit, "pairs", pretrain.get("pairs")),
        (f"{runs.progress.unit} seen by each run", seen or "no run has finished", ""),
    ]
    return [
        settings_row("network", "backbone", resolved.get("backbone")),
        ("images that are not square", (resolved.get("backbone") or {}).get("fit") or Fit().mode, ""),
        settings_row("pretraining", "pretrainer", pretrain),
        *(pairs if pretrain else []),
        ("judgments of stage 1", judgments_in_words(runs) or "none", ""),
        *of_scores,
    ]


def people_in_words(comparison: Comparison) -> str:
    """Return how many people gave the evaluated judgments, from the agreement by person in the records."""
    rows = (row["extra"] for run in comparison.runs.finished for row in run.scores)
    num = max((len(extra.get("by_person") or ()) for extra in rows), default=0)
    return f"{num} people gave the evaluated judgments" if num else "the records do not name people"


def compared_sentence(runs: RunSet) -> str:
    """Return a description of the compared arms and their differences."""
    words = runs.source.words
    others = ", ".join(arm for arm in runs.arms if arm != runs.baseline)
    tuned = f"settings that were tuned for each: {', '.join(tuned_keys(runs))}"
    differ = list(find_unlike(runs)) or runs.unfinished
    rest = "what is stated below" if differ else "nothing else"
    return words.compared.format(
        name=runs.name,
        baseline=runs.baseline,
        others=others or f"no other {words.arm}",
        num_arms=len(runs.arms),
        num_runs=len(runs.runs),
        num_seeds=len({run.seed for run in runs.runs}),
        rest=tuned if is_tuned(runs) else rest,
    )


def _describe_fairness(runs: RunSet) -> str:
    """Return whether the runs of a seed differ in more than their arms, and how many have finished."""
    unlike = "; ".join(find_unlike(runs))
    same = "The runs of a seed do not differ in first weights, text tower, batches, packages or machine"
    finished = f"{len(runs.finished)} of {len(runs.runs)} runs have finished"
    learns = any(taught_by(runs, arm) and is_by_people(runs, arm) for arm in runs.arms)
    people = f" {SAME_PEOPLE}" if learns and len({run.seed for run in runs.finished}) > 1 else ""
    return f"{f'The runs of a seed differ in {unlike}' if unlike else same}; {finished}.{people}"


def _describe_cost(runs: RunSet) -> str:
    """Return the total duration of all finished runs, and their devices."""
    seconds = sum(r.record["wall_seconds"].get("total", 0.0) for r in runs.finished)
    devices = ", ".join(sorted({r["environment"]["device"] for r in runs.records}))
    took = readable_seconds(seconds)
    return f"{len(runs.finished)} finished runs took {took} in total, on {devices or 'no device'}."


def _find_costs(runs: RunSet, arm: str, stages: Iterable[str]) -> list[str]:
    """Return the mean duration of each stage, and the mean energy, over the finished runs of an arm."""
    return [*(_mean_seconds(runs, arm, stage) for stage in stages), _mean_energy(runs, arm)]


def _mean_seconds(runs: RunSet, arm: str, stage: str) -> str:
    """Return the mean duration of a stage over the finished runs of an arm."""
    times = [run.record["wall_seconds"] for run in runs.finished if run.arm == arm]
    values = [seconds[stage] for seconds in times if stage in seconds]
    return readable_seconds(sum(values) / len(values)) if values else ""


class Energy(TypedDict):
    """The file that an energy tracker writes to the folder of a run."""

    kwh: float
    library: str


def _read_energies(runs: RunSet) -> Iterator[tuple[LoadedRun, Energy]]:
    """Yield each finished run whose energy was measured, with its energy."""
    for run in runs.finished:
        file = run.folder / ENERGY_FILE
        if file.is_file():
            yield run, read_json(file, Energy, "the energy of a run")


def _mean_energy(runs: RunSet, arm: str) -> str:
    """Return the mean energy of the finished runs of an arm; empty if not measured."""
    values = [energy["kwh"] for run, energy in _read_energies(runs) if run.arm == arm]
    return f"{1000 * sum(values) / len(values):.3g} Wh" if values else ""


def _describe_energy(runs: RunSet) -> str:
    """Return a note on the library that estimated the energy, or on how to measure it."""
    libraries = sorted({energy["library"] for _, energy in _read_energies(runs)})
    if not libraries:
        return "Energy was not measured. The tracker log/codecarbon of perceptinit-trackers measures it."
    return f"Energy as estimated by {', '.join(libraries)}."


def _find_experiments(runs: RunSet) -> list[dict[str, Any]]:
    """Return each distinct recipe with the commands to rerun it."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for record in runs.records:
        recipe = record["recipe"]
        overrides = chain(*(("--set", text) for text in recipe["overrides"]))
        options = [*overrides, *(["--smoke"] if recipe["smoke"] else [])]
        plugins = {p["distribution"]: p["version"] for p in record["plugins"] if p["distribution"]}
        packages = sorted((record["environment"]["packages"] | plugins).items())
        # packages of perceptinit are not on PyPI
        pinned = " ".join(f"{name}=={at}" for name, at in packages if not name.startswith("perceptinit"))
        file = Path(recipe["source"]).name
        command = f"pip install {pinned}\n{shlex.join(['perceptinit', 'run', file, *options])}"
        shown = {"file": file, "command": command, "text": recipe["text"], "overrides": recipe["overrides"]}
        found.setdefault((recipe["text"], *options), shown)
    return list(found.values())


def _environment_rows(runs: RunSet) -> list[tuple[str, str]]:
    """Return rows of versions and machine properties, with the distinct values of all runs."""
    values: dict[str, dict[str, None]] = {}
    for record in runs.records:
        environment = record["environment"]
        plugins = {f"plug-in {p['name']}": p["version"] for p in record["plugins"]}
        for label, value in (environment | environment["packages"] | plugins).items():
            values.setdefault(label, {})[str(value)] = None
    values.pop("packages", None)
    return [(label, ", ".join(of_label)) for label, of_label in values.items()]


def give_account(runs: RunSet) -> dict[str, Any]:
    """Return what records say about the runs, by name, for templates. Values of arms are by arm.

    The account is empty if the source of the runs does not show their settings.
    """
    if Fact.SETTINGS not in runs.source.shows:
        return {}
    known = {arm: runs.resolved(arm) for arm in runs.arms}
    durations = dict.fromkeys(chain(*(run.record["wall_seconds"] for run in runs.finished)))
    stages = [*(stage for stage in durations if stage != "total"), "total"]
    later = {arm: resolved["posthoc"] for arm, resolved in known.items() if resolved.get("posthoc")}
    return {
        "date": max((r.get("finished") or r["started"] for r in runs.records), default="")[:10],
        "fairness": _describe_fairness(runs),
        "starts": {arm: _describe_start(runs, arm) for arm in runs.arms},
        "posthoc": {arm: _describe_stages(tables) for arm, tables in later.items()},
        "settings": {arm: json.dumps(resolved, indent=1) for arm, resolved in known.items() if resolved},
        "cost": _describe_cost(runs),
        "stages": stages,
        "costs": {arm: _find_costs(runs, arm, stages) for arm in runs.arms},
        "energy": _describe_energy(runs),
        "experiments": _find_experiments(runs),
        "environment": _environment_rows(runs),
    }
