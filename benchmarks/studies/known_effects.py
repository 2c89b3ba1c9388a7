"""Save the records of experiments as small JSON files, and write the figures in docs/results/ from them.

    python benchmarks/studies/known_effects.py keep runs/few-pairs ...     -> docs/results/few-pairs/ARM/seedN/record.json
    python benchmarks/studies/known_effects.py write                       -> figures between the marks on the pages, and images

Saved runs are ordinary runs without weights: `perceptinit compare docs/results/few-pairs` reads them.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import boxes
import initializations
import numpy as np
import when_pairs
from pairs_needed import Ratio, ratio_of_samples

from perceptinit.analysis.compare import compare
from perceptinit.analysis.comparison import Comparison, Difference, ScoreComparison
from perceptinit.analysis.curves import all_curves, band
from perceptinit.analysis.numbers import interval, number, signed
from perceptinit.analysis.statistics import Estimate, differences, estimate
from perceptinit.reports.formats import markdown_table
from perceptinit.reports.plots import curve_figure
from perceptinit.results.items import read_items, write_items
from perceptinit.results.record import read_record, write_record
from perceptinit.results.runs import RunSet, load_runs
from perceptinit.verdict.headline import Judged

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
KEPT = DOCS / "results"  # records in folders, and a page for each question
RECIPES = ROOT / "recipes" / "known_effects"
DATA = "data/known_effects"
PLACES = {  # environment variables of the recipes, and the paths that records state instead
    "KNOWN_EFFECTS": DATA,
    "MATERIALS_ROOT": "data/materials",
    "LITE0": "data/tf_efficientnet_lite0.safetensors",
    "DRAWINGS_ROOT": "data/drawings",
}
MARK = re.compile(r"(<!-- figures of ([a-z0-9-]+) -->\n).*?(<!-- to here -->)", re.DOTALL)
SCORES = (
    "top1/", "accuracy/", "2afc/", "knn/", "cross-entropy/", "calibration_error/", "tuning_loss/", "image_recall_", "text_recall_",
)  # fmt: skip
OF_ITEMS = (
    "cross-entropy/shares",
    "accuracy/few-labels",
    "accuracy/few-labels-as-trained",
    "image_recall_10/titles",
    "top1/aside",
    "top1/at-peak",
)  # primary scores whose values by image are saved
MEASURES = ("top1", "accuracy")  # of the tables
# contrasts that the tool does not make: arm, reference, whether the contrast was planned
BESIDES = {
    "structure": [("mimetic-mlp", "mimetic", True)],
    "few-pairs": [("people", "hinge", False), ("hinge-half-way", "hinge", False)],
}
# a second reference arm in the table of stage 1, besides the baseline
SECOND = {"levers": "hinge", "margin": "hinge"}
SIZES = {"pairs-1000": 1000, "few-pairs": 4000, "pairs-16000": 16_000, "pairs-45000": 45_000}
BY_PAIRS_ARMS = ("random", "people", "shuffled")
# the possible cause that each experiment on mimetic-MLP changes
CAUSES = {
    "structure": "nothing",
    "mimetic-mlp-size": "the mean, four times as large",
    "mimetic-mlp-larger": "width 192, depth 6",
    "mimetic-mlp-longer": "two epochs",
}
INIT_METRICS = re.compile(
    r"2afc_|unseen_2afc_|trivial_2afc|spread_|train_loss|steps$|triplets$|(weight_change|norm_ratio|spectrum_change)/trunk$"
)
COLORS = (
    "svg { background: #fff } :root { --ink: #1a1a1a; --faint: #6b6b6b; --grid: #d9d9d9; --arm-0: #4d4d4d; --arm-1: #0072b2; --arm-2: #d55e00; "
    "--arm-3: #009e73; --arm-4: #cc79a7; --arm-5: #e69f00; --arm-6: #56b4e9; --arm-7: #8c510a; }"
)


def keep(folder: Path) -> None:
    """Write the runs of an experiment to docs/results/, without weights, lists of tensors and scores that no table uses.

    Paths of this machine become those of the recipe, from the environment variables of the data.
    """
    for file in sorted(folder.glob("*/seed*/record.json")):
        record = without_places(shortened(read_record(file)))
        target = KEPT / folder.name / file.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_record(target, record)
        if items := {name: each for name, each in read_items(file.parent).items() if name in OF_ITEMS}:
            write_items(target.parent, items)
    for name in ("plan.json", "processor.csv"):  # the latter by recipes/known_effects/measure.py
        if (folder / name).exists():
            shutil.copy(folder / name, KEPT / folder.name / name)


def shortened(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record with the scores and the numbers of stage 1 that tables use."""
    stages = [{**row, "changed": [], "metrics": dict(_used(row["metrics"]))} for row in record["init"]]
    scores = [row for row in record["scores"] if row["name"].startswith(SCORES)]
    return {**record, "init": stages, "scores": scores}


def without_places(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record with data paths in data/, relative paths of recipes, and the fingerprint of these settings."""
    text = json.dumps(record)
    for name, path in PLACES.items():
        text = text.replace(os.environ.get(name, path), path)
    kept = json.loads(re.sub(r'"/[^"]*/(recipes/known_effects/)', r'"\1', text))
    if fingerprint(record) == record["fingerprint"]:
        kept["fingerprint"] = fingerprint(kept)
    return kept


def fingerprint(record: Mapping[str, Any]) -> str:
    """Return the hash of a record's settings, as in `Recipe.fingerprint`."""
    text = json.dumps(record["arm"]["resolved"], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _used(metrics: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    return ((name, value) for name, value in metrics.items() if INIT_METRICS.match(name))


def pages() -> list[Path]:
    """Return the pages of results, with or without figures."""
    return sorted(KEPT.glob("*.md"))


def renewed(page: str) -> str:
    """Return a page with all blocks of figures regenerated."""
    return MARK.sub(lambda found: f"{found[1]}{section(found[2])}\n{found[3]}", page)


def section(name: str) -> str:
    """Return the tables of an experiment as Markdown, with a link to its image, or a table of several experiments (JOINT)."""
    if name in JOINT:
        return "\n" + JOINT[name]() + "\n"
    comparison, score = _compared(name)
    figure = curve_figure(comparison, score)
    parts = [
        f"![{figure.alt}](../images/{name}.svg)" if figure else "",
        _command(comparison.runs),
        markdown_table(Judged.of(comparison), [score]).strip(),
        "" if name in SECOND else _contrasts(name, score),  # part of the table of stage 1
        _along(comparison, score),
        _stage_one(name, comparison, score),
        _agreement(comparison.runs),
    ]
    return "\n" + "\n\n".join(part for part in parts if part) + "\n"


def draw(name: str) -> None:
    """Write the image of an experiment: the score over pairs seen, by arm."""
    figure = curve_figure(*_compared(name))
    if figure:
        root, rest = figure.svg.split(">", 1)
        image = f"{root}><style>{COLORS}</style>{rest}"
        (DOCS / "images" / f"{name}.svg").write_text(image, encoding="utf-8")


def by_pairs() -> str:
    """Return the table of the experiments that differ only in their pairs, and their planned contrast."""
    head = "distinct pairs | pairs seen | arm | top-1 | - random [95 %] | p | random needs as many times the pairs"
    lines = [f"| {head} |", "|---:|---:|---|---:|---:|---:|---:|"]
    planned = ["| people - shuffled, planned | points [95 %] | p |", "|---|---:|---:|"]
    found = [_compared(name) for name in SIZES if (KEPT / name).is_dir()]
    for comparison, score in sorted(found, key=lambda pair: SIZES[pair[0].runs.name]):
        lines += _size_rows(comparison, score)
        name = comparison.runs.name
        people = _differences(name, "shuffled", score.measure)["people"]
        planned.append(f"| {SIZES[name]:,} pairs | {_difference(people, score)} | {_p(people)} |")
    return "\n".join([*lines, "", *planned])


def by_causes() -> str:
    """Return a table of the gain of mimetic-MLP over mimetic in each experiment."""
    lines = [
        "| changed | images seen | arm | accuracy | - mimetic [95 %] | p |",
        "|---|---:|---|---:|---:|---:|",
    ]
    for name in (name for name in CAUSES if (KEPT / name).is_dir()):
        _, score = _compared(name)
        against = _differences(name, "mimetic", score.measure)
        own = {path.name for path in (KEPT / name).iterdir()}
        for arm in (a for a in score.arms if a.arm.startswith("mimetic") and a.arm in own):
            cells = [
                CAUSES[name],
                f"{score.samples_seen[arm.arm]:,}",
                arm.arm,
                _mean(list(arm.by_seed.values())),
            ]
            found = against.get(arm.arm)
            alone = _between(_alone(score, arm.arm, "mimetic"), score) if found else ""
            cells += [alone, _p(found)] if found else ["", ""]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _size_rows(comparison: Comparison, score: ScoreComparison) -> Iterator[str]:
    runs, curves = comparison.runs, all_curves(comparison, score)
    for arm in (arm for arm in score.arms if arm.arm in BY_PAIRS_ARMS):
        mean = _mean(list(arm.by_seed.values()))
        seen = f"{SIZES[runs.name]:,} | {score.samples_seen[arm.arm]:,} | {arm.arm} | {mean}"
        against = next((d for d in score.differences if _is_against(d, arm.arm, runs)), None)
        if against is None:
            yield f"| {seen} | | | |"
            continue
        needed = ratio_of_samples(curves[arm.arm], curves[runs.baseline])
        alone = _between(_alone(score, arm.arm, runs.baseline), score)
        yield f"| {seen} | {alone} | {_p(against)} | {_times(needed)} |"


def _is_against(difference: Difference, arm: str, runs: RunSet) -> bool:
    contrast = difference.contrast
    return (contrast.arm, contrast.reference) == (arm, runs.baseline)


def _contrasts(name: str, score: ScoreComparison) -> str:
    """Return the contrasts of arms with interval and p: those of the tool, then those of BESIDES."""
    rows = [_row(d, score) for d in score.differences]
    for arm, reference, planned in BESIDES.get(name, ()):
        found = _differences(name, reference, score.measure)[arm]
        note = "" if planned else ", not in the plan"
        between = _between(_alone(score, arm, reference), score)
        rows.append(f"| {arm} - {reference}{note} | {between} | {_p(found)} | {found.value.num} |")
    title = f"| {score.name}, paired by seed | points [95 %] | p | seeds |"
    return "\n".join([title, "|---|---:|---:|---:|", *rows])


def _differences(name: str, reference: str, measure: str) -> dict[str, Difference]:
    """Return the difference of each arm from any reference arm, paired by seed."""
    score = _measured_by(compare(_kept_runs(name), baseline=reference), measure)
    found = score.differences if score else ()
    return {d.contrast.arm: d for d in found if d.contrast.reference == reference}


def _row(d: Difference, score: ScoreComparison) -> str:
    contrast = f"{d.contrast.arm} - {d.contrast.reference}"
    return f"| {contrast} | {_difference(d, score)} | {_p(d)} | {d.value.num} |"


def _difference(difference: Difference, score: ScoreComparison) -> str:
    """Return a difference with the interval that decides, marked if it is simultaneous."""
    return _between(difference.value, score) + ", simultaneous" * (difference.contrast.num_family > 1)


def _alone(score: ScoreComparison, arm: str, reference: str) -> Estimate:
    """Return a difference with its single interval, for tables of several families of arms."""
    return estimate(list(differences(score.arm(arm).by_seed, score.arm(reference).by_seed).values()))


def _between(value: Estimate, score: ScoreComparison) -> str:
    mean = signed(value.mean, score.is_share)
    between = interval(value, score.is_share, between=", ")
    return f"{mean} [{between}]" if between else mean


def _p(difference: Difference) -> str:
    return "" if difference.p_value is None else _format_p(difference.p_value)


def _format_p(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _times(found: Ratio) -> str:
    """Return a ratio of samples with its bootstrap interval, or `-` if an arm never reaches the score or starts at it."""
    if found.value is None:
        return "-"
    if found.low is None or found.high is None:
        return f"{found.value:.2f}"
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def _compared(name: str) -> tuple[Comparison, ScoreComparison]:
    comparison = compare(_kept_runs(name))
    return comparison, next(s for s in comparison.scores if s.measure in MEASURES)


def _kept_runs(name: str) -> RunSet:
    """Return the finished runs of an experiment, including those shared with the recipe that it extends."""
    recipe = RECIPES / f"{name.replace('-', '_')}.toml"
    return load_runs([run.folder for run in load_runs([recipe], out=KEPT).finished])


def _command(runs: RunSet) -> str:
    records = [run.record for run in runs.finished]
    first = records[0]["environment"]
    versions = ", ".join(f"{name} {version}" for name, version in first["packages"].items())
    cores = f"{first['processor']}, {first['cores']} cores, {first['threads']} thread a run"
    days = sorted(record["started"][:10] for record in records)
    seconds = sum(record["wall_seconds"]["total"] for record in records)
    return (
        f"{len(records)} runs, seeds {', '.join(map(str, sorted({r['seed'] for r in records})))}; {' to '.join(dict.fromkeys((days[0], days[-1])))}; "
        f"{cores}, device {first['device']}; Python {first['python']}, {versions}; {seconds / 60:.0f} minutes of wall time in all."
    )


def _along(comparison: Comparison, score: ScoreComparison) -> str:
    """Return means over seeds by pairs seen, with the difference to the baseline."""
    bands = {arm: band(curves) for arm, curves in all_curves(comparison, score).items()}
    counts = sorted({count for values in bands.values() for count in values})
    rows = [
        f"| {score.measure} over {comparison.runs.progress.unit} seen | "
        + " | ".join(f"{c:,}" for c in counts)
        + " |",
        "|---|" + "---:|" * len(counts),
    ]
    for arm, values in bands.items():
        cells = [number(values[c].mean, score.is_share) if c in values else "" for c in counts]
        rows.append(f"| {arm} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _stage_one(name: str, comparison: Comparison, score: ScoreComparison) -> str:
    """Return a table of the effects of stage 1 by arm, or an empty string if no arm has a stage 1.

    p-values against the SECOND arm are corrected for the number of arms (Holm 1979).
    """
    runs, two_afc = comparison.runs, _measured_by(comparison, "2afc")
    if two_afc is None or not any(_of_stage(runs, arm, "spread_after") for arm in runs.arms):
        return ""
    agreement, curves = all_curves(comparison, two_afc), all_curves(comparison, score)
    titles = [
        "arm", "spread after stage 1", "norm of class token and positions, after / before", "2AFC before CLIP",
        f"{score.measure} at the first look", f"{score.measure} at the end", f"- {runs.baseline} [95 %]", "p", "2AFC at the end",
    ]  # fmt: skip
    second = _second(name, runs, score)
    titles += [f"- {SECOND[name]} [95 %]", "p, Holm"] if second else []
    lines = [f"| {' | '.join(titles)} |", "|---|" + "---:|" * (len(titles) - 1)]
    for arm in runs.arms:
        looks = sorted(band(curves[arm]))
        against = next((d for d in score.differences if _is_against(d, arm, runs)), None)
        cells = [
            arm,
            _mean(_of_stage(runs, arm, "spread_after")),
            _mean(_of_stage(runs, arm, "norm_ratio/trunk")),
            _mean([curve[0] for curve in agreement[arm].values() if 0 in curve]),
            _mean([curve[looks[1]] for curve in curves[arm].values()]) if looks[1:] else "",
            _mean(list(score.arm(arm).by_seed.values())),
            _difference(against, score) if against else "",
            _p(against) if against else "",
            _mean(list(two_afc.arm(arm).by_seed.values())),
        ]
        cells += second.get(arm, ("", "")) if second else []
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _second(name: str, runs: RunSet, score: ScoreComparison) -> dict[str, tuple[str, str]]:
    """Return the difference from the SECOND arm and its corrected p, by arm; empty without a SECOND arm."""
    if name not in SECOND:
        return {}
    found = _differences(name, SECOND[name], score.measure)
    known = {arm: d.p_value for arm, d in found.items() if d.p_value is not None}
    known.pop(runs.baseline, None)
    corrected = holm(list(known.values()))
    return {
        arm: (_difference(found[arm], score), _format_p(p)) for arm, p in zip(known, corrected, strict=True)
    }


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values that control the family-wise error rate under any dependence (Holm 1979)."""
    p = np.asarray(p_values)
    order = p.argsort(kind="stable")
    stepped = np.maximum.accumulate(np.arange(len(p), 0, -1) * p[order])
    corrected = np.empty(len(p))
    corrected[order] = stepped.clip(max=1.0)
    return corrected.tolist()


def _measured_by(comparison: Comparison, measure: str) -> ScoreComparison | None:
    return next((score for score in comparison.scores if score.measure == measure), None)


def _of_stage(runs: RunSet, arm: str, metric: str) -> list[float]:
    """Return a metric of stage 1 from each finished run of an arm that reports it."""
    stages = [row["metrics"] for r in runs.finished if r.arm == arm for row in r.record["init"]]
    return [metrics[metric] for metrics in stages if metric in metrics]


def _agreement(runs: RunSet) -> str:
    """Return 2AFC on held-out judgments over the triplets that stage 1 has seen, by arm."""
    curves: dict[str, dict[int, list[float]]] = {}
    for run in runs.finished:
        stages = [row["metrics"] for row in run.record["init"] if "triplets" in row["metrics"]]
        for metrics in stages[:1]:
            for epoch, value in _measured(metrics).items():
                seen = epoch * int(metrics["triplets"])
                curves.setdefault(run.arm, {}).setdefault(seen, []).append(value)
    rows = [
        f"| {arm} | "
        + "; ".join(f"{seen:,}: {_mean(values)}" for seen, values in sorted(curves[arm].items()))
        + " |"
        for arm in runs.arms
        if arm in curves
    ]
    return "\n".join(["| arm | held-out 2AFC by triplets seen |", "|---|---|", *rows]) if rows else ""


def _measured(metrics: Mapping[str, Any]) -> dict[int, float]:
    """Return 2AFC by completed epochs, from the report of a stage 1 measured after each epoch."""
    found = {0: metrics["2afc_val_before"]}
    for name, value in metrics.items():
        if match := re.fullmatch(r"2afc_val_epoch_(\d+)", name):
            found[int(match[1])] = value
    return found | {max(found) + 1: metrics["2afc_val_after"]}


def _mean(values: list[float]) -> str:
    if not values:
        return ""
    found = estimate(values)
    return f"{found.mean:.3f} ± {found.stderr:.3f}" if len(values) > 1 else f"{found.mean:.3f}"


JOINT = {
    "pairs": by_pairs,
    "pairs-when": lambda: when_pairs.table(KEPT),
    "mimetic-mlp": by_causes,
    "initializations": lambda: initializations.tables(KEPT),
    **{f"{name}-box": box for name, box in boxes.BOXES.items()},
}

if __name__ == "__main__":
    verb, *folders = sys.argv[1:]
    if verb == "keep":
        for each in folders:
            keep(Path(each))
    else:
        for page in pages():
            text = page.read_text(encoding="utf-8")
            for _, name, _ in MARK.findall(text):
                if name not in JOINT:
                    draw(name)
            page.write_text(renewed(text), encoding="utf-8")
