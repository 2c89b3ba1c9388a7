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
from perceptinit.reports.stages import judgments_in_words
from perceptinit.results.measures import readable_seconds
from perceptinit.results.runs import LoadedRun, RunSet

ENERGY_FILE = "energy.json"


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
    stages = []
    for table in tables:
        text, judgments, names = str(table["use"]), table.get("judgments"), []
        while isinstance(judgments, Mapping):
            names.append(judgments["use"])
            judgments = judgments.get("judgments")
        text += f" on {' of '.join(names)}" if names else ""
        stages.append(f"{text}, {table['epochs']} epochs" if "epochs" in table else text)
    return ", then ".join(stages)


def starts_in_words(runs: RunSet, arm: str) -> str:
    """Return how an arm starts."""
    resolved = runs.resolved(arm)
    if not resolved:
        return "unknown: no run of this arm left a record"
    return stages_in_words(resolved.get("init", [])) or "as drawn: nothing is done"


def newest_date(runs: RunSet) -> str:
    """Return the day on which the last run ended or began."""
    return max(r.get("finished") or r["started"] for r in runs.records)[:10]


def shared_rows(comparison: Comparison) -> list[tuple[str, str]]:
    """Return what all arms share, as label and text."""
    runs = comparison.runs
    resolved = next((found for arm in runs.arms if (found := runs.resolved(arm))), {})
    resolved = without_tuned(resolved, runs)
    pretrain = resolved.get("pretrain")
    seen = " or ".join(f"{n:,}" for n in sorted({run.samples_seen for run in runs.finished}))
    measured = [f"{s.name} ({s.facts['num_examples']:,} examples)" for s in comparison.scores]
    return [
        ("network", in_words(resolved.get("backbone"))),
        ("pretraining", in_words(pretrain)),
        *([(runs.samples, in_words(pretrain.get("pairs")))] if pretrain else []),
        (f"{runs.samples} seen by each run", seen or "no run has finished"),
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
    finished, pairs = runs.finished, runs.samples
    counts = {run.samples_seen for run in finished}
    but = f", but for {', '.join(tuned_keys(runs))}" if is_tuned(runs) else ""
    texts = [[find_hash(r.record, when, "text") for when in ("built", "init")] for r in finished]
    untouched = [built == after for built, after in texts if built and after]
    found = {
        "Every arm of a seed began from the same weights.": _equal(finished, "built", "model"),
        "The start changed the image tower only, not the text tower.": all(untouched) if untouched else None,
        f"Every arm of a seed saw the same {pairs} in the same order.": _equal(finished, "pretrain_data"),
        f"Every finished run saw the same number of {pairs}.": len(counts) == 1 if counts else None,
        f"Network, pretraining and evaluation settings are equal{but}.": bool(finished) or None,
        "Every run that the recipe asks for has finished.": not runs.unfinished,
    }  # fmt: skip
    return [(holds, text) for text, holds in found.items()]


def _equal(runs: Iterable[LoadedRun], *path: str) -> bool | None:
    """Return whether a hash is equal among the arms of each seed, None when it is not recorded."""
    by_seed: dict[int, set[str]] = {}
    for run in runs:
        by_seed.setdefault(run.seed, set()).add(find_hash(run.record, *path))
    if any("" in values for values in by_seed.values()):
        return None
    return all(len(values) == 1 for values in by_seed.values()) if by_seed else None


def find_hash(record: Mapping[str, Any], *path: str) -> str:
    """Return a hash of the record, empty when it has none."""
    value: Any = record.get("hashes", {})
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return str(value or "")


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
    times = [run.record["wall_seconds"] for run in runs.finished if run.arm == arm]
    values = [seconds[stage] for seconds in times if stage in seconds]
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
        packages = dict(record["environment"]["packages"])
        packages |= {p["distribution"]: p["version"] for p in record["plugins"] if p["distribution"]}
        pinned = " ".join(f"{name}=={version}" for name, version in sorted(packages.items()))
        shown = {"file": file, "command": f"pip install {pinned}\n{run}"}
        found.setdefault(key, {**shown, "text": recipe["text"], "overrides": recipe["overrides"]})
    return list(found.values())


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
