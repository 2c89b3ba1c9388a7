"""What a page says besides scores: what was compared, whether that is fair, cost, how to run it again."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from perceptinit.files.reading import read_json
from perceptinit.reports.at_best import is_tuned, tuned_keys, without_tuned
from perceptinit.reports.comparison import Comparison
from perceptinit.reports.stage_one import judgments_in_words
from perceptinit.results.measures import readable_seconds
from perceptinit.results.runs import LoadedRun, RunSet

ENERGY_FILE = "energy.json"
HASH_DIGITS = 12


def in_words(table: Mapping[str, Any] | None) -> str:
    """Return a component's table as text: `clip (epochs 4, batch_size 128, ...)`."""
    if not table:
        return "none"
    keys = [
        f"{key} {value}"
        for key, value in table.items()
        if key != "use" and isinstance(value, (str, int, float)) and value != ""
    ]
    return f"{table['use']} ({', '.join(keys)})" if keys else str(table["use"])


def stages_in_words(tables: Iterable[Mapping[str, Any]]) -> str:
    """Return an arm's stages in order, each with the judgments that it learns from; empty without any."""
    return ", then ".join(_stage(table) for table in tables)


def _stage(table: Mapping[str, Any]) -> str:
    text = str(table["use"])
    judgments = table.get("judgments")
    if judgments:
        names = [judgments["use"]]
        while isinstance(judgments.get("judgments"), Mapping):
            judgments = judgments["judgments"]
            names.append(judgments["use"])
        text += f" on {' of '.join(names)}"
    return f"{text}, {table['epochs']} epochs" if "epochs" in table else text


def starts_in_words(runs: RunSet, arm: str) -> str:
    """Return how an arm starts."""
    resolved = runs.resolved(arm)
    if not resolved:
        return "unknown: no run of this arm left a record"
    return stages_in_words(resolved.get("init", [])) or "as drawn: nothing is done"


def posthoc_in_words(runs: RunSet, arm: str) -> str:
    """Return what is done to an arm after pretraining, empty for nothing."""
    return stages_in_words(runs.resolved(arm).get("posthoc", []))


def any_posthoc(runs: RunSet) -> bool:
    """Return whether any arm has a stage after pretraining."""
    return any(posthoc_in_words(runs, arm) for arm in runs.arms)


def is_smoke(runs: RunSet) -> bool:
    """Return whether any run is a smoke run."""
    return any(record["recipe"]["smoke"] for record in runs.records)


def newest_date(runs: RunSet) -> str:
    """Return the day on which the last run ended or began."""
    return max(r.get("finished") or r["started"] for r in runs.records)[:10]


def list_warnings(runs: RunSet) -> list[str]:
    """Return all warnings with their run and stage."""
    return [
        f"{r['arm']['name']}, seed {r['seed']} ({w['stage']}): {w['message']}"
        for r in runs.records
        for w in r["warnings"]
    ]


def shared_rows(comparison: Comparison) -> list[tuple[str, str]]:
    """Return what all arms share, as label and text."""
    runs = comparison.runs
    resolved = next((found for arm in runs.arms if (found := runs.resolved(arm))), {})
    resolved = without_tuned(resolved, runs)
    pretrain = resolved.get("pretrain")
    seen = sorted({run.samples_seen for run in runs.finished})
    measured = [f"{s.name} ({s.facts['num_examples']:,} examples)" for s in comparison.scores]
    return [
        ("network", in_words(resolved.get("backbone"))),
        ("pretraining", in_words(pretrain)),
        *([(runs.samples, in_words(pretrain.get("pairs")))] if pretrain else []),
        (
            f"{runs.samples} seen by each run",
            " or ".join(f"{n:,}" for n in seen) or "no run has finished",
        ),
        ("judgments of stage 1", judgments_in_words(runs) or "none"),
        ("measured on", ", ".join(measured) or "nothing yet"),
        ("seeds", ", ".join(map(str, sorted({run.seed for run in runs.runs})))),
    ]


def compared_sentence(runs: RunSet) -> str:
    """Return in one sentence what was compared with what, and in what else arms may differ."""
    others = [arm for arm in runs.arms if arm != runs.baseline]
    seeds = len({run.seed for run in runs.runs})
    tuned = f"settings that were tuned for each: {', '.join(tuned_keys(runs))}"
    return (
        f"The same network was trained {len(runs.arms)} ways, {seeds} times each (seeds): "
        f"{', '.join(others) or 'no other arm'} against the baseline {runs.baseline}. The arms differ in "
        "how the image tower starts (or in what is done after pretraining), and in "
        f"{tuned if is_tuned(runs) else 'nothing else'}."
    )


def check_fairness(runs: RunSet) -> list[tuple[bool | None, str]]:
    """Return what makes the arms comparable, and whether it holds; None where the records do not say."""
    finished = runs.finished
    counts = {run.samples_seen for run in finished}
    but = f", but for {', '.join(tuned_keys(runs))}" if is_tuned(runs) else ""
    pairs = runs.samples
    return [
        (_equal(finished, "built", "model"), "Every arm of a seed began from the same weights."),
        (_untouched_text(finished), "The start changed the image tower only, not the text tower."),
        (
            _equal(finished, "pretrain_data"),
            f"Every arm of a seed saw the same {pairs} in the same order.",
        ),
        (
            len(counts) == 1 if counts else None,
            f"Every finished run saw the same number of {pairs}.",
        ),
        (
            bool(finished) or None,
            f"Network, pretraining and evaluation settings are equal{but}.",
        ),
        (not runs.unfinished, "Every run that the recipe asks for has finished."),
    ]


def _equal(runs: Iterable[LoadedRun], *path: str) -> bool | None:
    """Return whether a hash is equal among the arms of each seed, None when it is not recorded."""
    by_seed: dict[int, set[str]] = {}
    for run in runs:
        by_seed.setdefault(run.seed, set()).add(_find_hash(run.record, *path))
    if any("" in values for values in by_seed.values()):
        return None
    return all(len(values) == 1 for values in by_seed.values()) if by_seed else None


def _find_hash(record: Mapping[str, Any], *path: str) -> str:
    """Return a hash of the record, empty when it has none."""
    value: Any = record.get("hashes", {})
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return str(value or "")


def short_hash(record: Mapping[str, Any], *path: str) -> str:
    """Return the first digits of a hash of the record, empty when it has none."""
    return _find_hash(record, *path)[:HASH_DIGITS]


def _untouched_text(runs: Iterable[LoadedRun]) -> bool | None:
    pairs = [[_find_hash(r.record, when, "text") for when in ("built", "init")] for r in runs]
    known = [built == after for built, after in pairs if built and after]
    return all(known) if known else None


def find_stages(runs: RunSet) -> list[str]:
    """Return the stages whose time finished runs recorded."""
    stages = dict.fromkeys(stage for run in runs.finished for stage in run.record["wall_seconds"])
    return [stage for stage in stages if stage != "total"]


def cost_sentence(runs: RunSet) -> str:
    """Return how long all finished runs took, on which devices."""
    seconds = sum(r.record["wall_seconds"].get("total", 0.0) for r in runs.finished)
    devices = ", ".join(sorted({r["environment"]["device"] for r in runs.records}))
    took = f"{len(runs.finished)} finished runs took {readable_seconds(seconds)} in all"
    return f"{took}, on {devices or 'no device'}."


def mean_seconds(runs: RunSet, arm: str, stage: str) -> str:
    """Return the mean time of a stage, or of the "total", over an arm's finished runs."""
    values = [
        run.record["wall_seconds"][stage]
        for run in runs.finished
        if run.arm == arm and stage in run.record["wall_seconds"]
    ]
    return readable_seconds(sum(values) / len(values)) if values else ""


class Energy(TypedDict):
    """What a tracker of energy leaves in the folder of a run."""

    kwh: float
    library: str


def energy(run: LoadedRun) -> Energy | None:
    """Return what a tracker of energy left for a run, None if there was none."""
    file = run.folder / ENERGY_FILE
    return read_json(file, Energy, "what a tracker of energy left") if file.is_file() else None


def mean_energy(runs: RunSet, arm: str) -> str:
    """Return the mean energy of an arm's finished runs, empty where none was measured."""
    values = [e["kwh"] for run in runs.finished if run.arm == arm and (e := energy(run))]
    return f"{1000 * sum(values) / len(values):.3g} Wh" if values else ""


def energy_note(runs: RunSet) -> str:
    """Return what measured the energy, or what would."""
    libraries = sorted({e["library"] for r in runs.finished if (e := energy(r))})
    if not libraries:
        return "Energy was not measured: add the tracker of the plug-in perceptinit-codecarbon."
    return f"Energy as estimated by {', '.join(libraries)}."


def find_experiments(runs: RunSet) -> list[dict[str, Any]]:
    """Return each different recipe text with the command that runs it again."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for record in runs.records:
        recipe = record["recipe"]
        key = (recipe["text"], *recipe["overrides"], str(recipe["smoke"]))
        file = Path(recipe["source"]).name
        options = [part for text in recipe["overrides"] for part in ("--set", text)]
        options += ["--smoke"] if recipe["smoke"] else []
        run = shlex.join(["perceptinit", "run", file, *options])
        found.setdefault(
            key,
            {
                "file": file,
                "text": recipe["text"],
                "overrides": recipe["overrides"],
                "command": f"pip install {' '.join(_requirements(record))}\n{run}",
            },
        )
    return list(found.values())


def _requirements(record: Mapping[str, Any]) -> list[str]:
    packages = dict(record["environment"]["packages"])
    packages |= {p["distribution"]: p["version"] for p in record["plugins"] if p["distribution"]}
    return [f"{name}=={version}" for name, version in sorted(packages.items())]


def environment_rows(runs: RunSet) -> list[tuple[str, str]]:
    """Return versions and machine; several values where runs differ in one."""
    values: dict[str, dict[str, None]] = {}
    for record in runs.records:
        environment = dict(record["environment"])
        packages = environment.pop("packages")
        plugins = {f"plug-in {p['name']}": p["version"] for p in record["plugins"]}
        for label, value in {**environment, **packages, **plugins}.items():
            values.setdefault(label, {})[str(value)] = None
    return [(label, ", ".join(of_label)) for label, of_label in values.items()]
