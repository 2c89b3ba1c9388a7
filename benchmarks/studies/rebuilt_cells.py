"""Tables between the marks of the pages of results, rebuilt from records with numpy (no module of the package is imported).

    python benchmarks/studies/rebuilt_cells.py      -> the number of compared cells by page, and each difference

Those of beyond-labels, drawings, fewer-pairs, ladder, ladder-frozen, simulated-share, stage-one and stage-one-earlier are made by scripts that do not
import the package either. The other pages in `WITHOUT_RECORDS` have no records.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import when_pairs
from scipy import stats

KEPT = Path(__file__).parents[2] / "docs" / "results"
WITHOUT_RECORDS = ("clip-benchmark", "controls", "faults", "materials", "quickstart")
MARK = re.compile(r"<!-- figures of ([a-z0-9-]+) -->\n(.*?)<!-- to here -->", re.DOTALL)
# experiments whose arms are completed by those of another one
LIKE = {"levers": "few-pairs", "margin": "few-pairs", "mimetic-mlp-size": "structure"}
# contrasts with the baseline that are in no family: the first of a plan, shuffled controls, and equal arms
ALONE = {
    "few-pairs": ("shuffled",),
    "margin": ("margin-one-shuffled",),
    **dict.fromkeys(
        ("initializations", "initializations-longer", "initializations-muon"), ("mimetic", "redrawn")
    ),
}
SHUFFLED = {"few-pairs": "shuffled", "margin": "margin-one-shuffled"}
LOOKS = {"aa-few-pairs": (10, 14)}  # numbers of seeds at the first and last look
CAUSES = {
    "nothing": "structure",
    "the mean, four times as large": "mimetic-mlp-size",
    "width 192, depth 6": "mimetic-mlp-larger",
    "two epochs": "mimetic-mlp-longer",
}
STAGES = {"AdamW, one epoch": "initializations", "AdamW, four epochs": "initializations-longer",
          "nadamuon, one epoch": "initializations-muon"}  # fmt: skip
LONGER = "initializations-random-longer"
TRIALS = {"AdamW": "rate", "nadamuon": "muon-rate"}
NUM_RESAMPLES = 999
NUM_PATHS = 100_000

# experiments of the boxes whose page has another name; a box shows the arms' difference in the score of the tables
OF_BOX = {"levers": "margin", "pairs": "pairs-1000", "mimetic-mlp": "mimetic-mlp-size"}
NUMBER = re.compile(
    r"(?P<arm>\S+) - (?P<reference>\S+) (?P<difference>\S+ (?:points|nats) \[.*?\]), (?P<num>\d+) seeds"
    r"(?:, simultaneous over (?P<family>\d+))?(?P<rest>.*)"
)
# first words of a box by the limits of its interval
WORDS = {
    "better": ("yes",),
    "worse": ("no",),
    "equivalent": ("no", "not shown", "none"),
    "undecided": ("undecided", "not shown", "not answered"),
}
DELTA = 0.01

Row = Sequence[str]


@dataclass(frozen=True, slots=True)
class Experiment:
    """Records by arm and seed, and the score of the tables."""

    name: str
    records: Mapping[tuple[str, int], dict]
    score: str = field(default="")

    def seeds(self, arm: str) -> list[int]:
        return sorted(seed for name, seed in self.records if name == arm)

    def curve(self, arm: str, seed: int, measure: str = "") -> dict[int, float]:
        """Return the values of a score, by default that of the tables, by samples seen."""
        rows = self.records[arm, seed]["scores"]
        name = next(row["name"] for row in rows if row["name"].startswith(measure or self.score))
        return {row["samples_seen"]: row["value"] for row in rows if row["name"] == name}

    def final(self, arm: str, measure: str = "") -> dict[int, float]:
        """Return the last value of a score by seed."""
        curves = {seed: self.curve(arm, seed, measure) for seed in self.seeds(arm)}
        return {seed: curve[max(curve)] for seed, curve in curves.items()}

    def stage_1(self, arm: str, metric: str) -> list[float]:
        """Return a metric from each stage that reports it."""
        stages = [stage["metrics"] for seed in self.seeds(arm) for stage in self.records[arm, seed]["init"]]
        return [metrics[metric] for metrics in stages if metric in metrics]


def read(name: str) -> Experiment:
    """Return an experiment with the arms that it shares with another one."""
    found = {}
    for folder in (LIKE.get(name), name):
        for path in sorted((KEPT / folder).glob("*/seed*/record.json")) if folder else ():
            record = json.loads(path.read_text(encoding="utf-8"))
            if record["status"] == "finished":
                found[path.parents[1].name, record["seed"]] = record
    names = {row["name"] for record in found.values() for row in record["scores"]}
    score = next(name for name in sorted(names, reverse=True) if name.startswith(("top1/", "accuracy/")))
    return Experiment(name, found, score)


def mean(values: Sequence[float], percent: bool = False) -> str:
    """Return a mean with its standard error: as a share with three digits, or in percent with one."""
    if not values:
        return ""
    factor, digits = (100, 1) if percent else (1, 3)
    text = f"{factor * np.mean(values):.{digits}f}"
    error = factor * np.std(values, ddof=1) / len(values) ** 0.5 if len(values) > 1 else None
    return text if error is None else f"{text} ± {error:.{digits}f}"


def leads(own: Mapping[int, float], other: Mapping[int, float]) -> np.ndarray:
    return np.array([own[seed] - other[seed] for seed in sorted(own.keys() & other.keys())])


def between(values: np.ndarray, num_family: int = 1, level: float = 0.95, unit: str = " points") -> str:
    """Return a mean difference in points with its interval over seeds."""
    confidence = 1 - (1 - level) / num_family
    half = stats.t.ppf(0.5 + confidence / 2, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    middle, low, high = (100 * value for value in (values.mean(), values.mean() - half, values.mean() + half))
    return f"{middle:+.1f}{unit} [{low:+.1f}, {high:+.1f}]"


def p_value(values: np.ndarray) -> float:
    return float(stats.ttest_1samp(values, 0).pvalue)


def p_text(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def family(experiment: Experiment, arm: str) -> int:
    """Return the number of contrasts with random whose intervals hold together with that of an arm."""
    arms = {name for name, _ in experiment.records}
    if arm in ALONE.get(experiment.name, ()) or experiment.name in LOOKS:
        return 1
    return len(arms - {"random", *ALONE.get(experiment.name, ())} - not_compared(experiment))


def not_compared(experiment: Experiment) -> set[str]:
    """Return the arms of another experiment that this one does not list."""
    if experiment.name not in ("levers", "margin"):
        return set()
    return {name for name, _ in read("few-pairs").records} - {"random", "hinge"}


def level_of_looks(first: int, last: int) -> float:
    """Return the level at which Student's intervals of n = first..last values hold jointly (Pocock 1977)."""
    values = generator("level of looks").standard_normal((last, NUM_PATHS))
    counts = np.arange(1, last + 1)[:, None]
    means = values.cumsum(axis=0) / counts
    squares = (values**2).cumsum(axis=0)
    errors = np.sqrt((squares - counts * means**2)[1:] / (counts[1:] - 1) / counts[1:])
    p = 2 * stats.t.sf(np.abs(means[1:]) / errors, counts[1:] - 1)
    return 1 - float(np.quantile(p[first - 2 :].min(axis=0), 0.05))


def generator(*names: str) -> np.random.Generator:
    """Return the generator of seed 0 with these names; see docs/architecture.md."""
    text = "\x1f".join(["0", *(f"str:{name}" for name in names)])
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
    return np.random.default_rng(seed)


def deciding(experiment: Experiment, arm: str, unit: str = " points") -> str:
    """Return the difference of an arm from random with the interval that decides."""
    values = leads(experiment.final(arm), experiment.final("random"))
    level = level_of_looks(*LOOKS[experiment.name]) if experiment.name in LOOKS else 0.95
    return between(values, family(experiment, arm), level, unit)


def marked(experiment: Experiment, arm: str) -> str:
    return deciding(experiment, arm) + ", simultaneous" * (family(experiment, arm) > 1)


def scores(experiment: Experiment, head: Row, rows: Sequence[Row]) -> Iterator[Row]:
    """Yield the rows of the table of scores."""
    for row in rows:
        arm = row[1]
        final, cells = experiment.final(arm), {"score": experiment.score, "arm": arm}
        cells["mean ± s.e."] = mean(list(final.values()), percent=True)
        cells["seeds"] = f"{len(final)} of {len(final)}"
        for title in head:
            if title.startswith("vs random"):
                cells[title] = "" if arm == "random" else deciding(experiment, arm, unit="")
            elif title.startswith("vs "):
                other = title.split()[1]
                values = leads(final, experiment.final(other))
                cells[title] = "" if arm in ("random", other) else between(values, unit="")
            elif "2AFC before" in title:
                moments = [experiment.stage_1(arm, f"2afc_val_{when}") for when in ("before", "after")]
                cells[title] = ", ".join(f"{100 * np.mean(values):.1f}" for values in moments if values)
        yield [cells[title] for title in head]


def contrasts(experiment: Experiment, rows: Sequence[Row]) -> Iterator[Row]:
    """Yield the rows of the table of contrasts."""
    for title, *_ in rows:
        arm, reference = title.removesuffix(", not in the plan").split(" - ")
        values = leads(experiment.final(arm), experiment.final(reference))
        text = marked(experiment, arm) if reference == "random" else between(values)
        yield [title, text, p_text(p_value(values)), str(len(values))]


def along(experiment: Experiment, head: Row, rows: Sequence[Row]) -> Iterator[Row]:
    """Yield the rows of the table of means by samples seen."""
    for arm, *_ in rows:
        curves = [experiment.curve(arm, seed) for seed in experiment.seeds(arm)]
        counts = [int(title.replace(",", "")) for title in head[1:]]
        yield [arm, *(f"{100 * np.mean([curve[count] for curve in curves]):.1f}" for count in counts)]


def stage_one(experiment: Experiment, head: Row, rows: Sequence[Row]) -> Iterator[Row]:
    """Yield the rows of the table of stage 1."""
    second = head[9].split()[1] if len(head) > 9 else ""
    arms = [row[0] for row in rows]
    against = {arm: leads(experiment.final(arm), experiment.final(second)) for arm in arms} if second else {}
    p_values = {arm: p_value(values) for arm, values in against.items() if arm not in ("random", second)}
    corrected = holm(p_values)
    for arm in arms:
        curves = [experiment.curve(arm, seed) for seed in experiment.seeds(arm)]
        first = sorted(curves[0])[1]
        agreement = [experiment.curve(arm, seed, "2afc/")[0] for seed in experiment.seeds(arm)]
        fresh = arm == "random"
        final = experiment.final(arm)
        values = leads(final, experiment.final("random"))
        yield [
            arm,
            mean(experiment.stage_1(arm, "spread_after")),
            mean(experiment.stage_1(arm, "norm_ratio/trunk")),
            mean(agreement),
            mean([curve[first] for curve in curves]),
            mean(list(final.values())),
            "" if fresh else marked(experiment, arm),
            "" if fresh else p_text(p_value(values)),
            mean(list(experiment.final(arm, "2afc/").values())),
            *([between(against[arm]), p_text(corrected[arm])] if arm in corrected else [""] * len(head[9:])),
        ]


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return p-values corrected for their number (Holm 1979)."""
    found, largest = {}, 0.0
    for place, arm in enumerate(sorted(p_values, key=lambda arm: p_values[arm])):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[arm]))
        found[arm] = largest
    return found


def agreement(experiment: Experiment, rows: Sequence[Row]) -> Iterator[Row]:
    """Yield held-out 2AFC by triplets seen."""
    for arm, _ in rows:
        stages = [experiment.records[arm, seed]["init"][0]["metrics"] for seed in experiment.seeds(arm)]
        names = sorted(name for name in stages[0] if re.fullmatch(r"2afc_val_epoch_\d+", name))
        looks = ["2afc_val_before", *names, "2afc_val_after"]
        texts = [
            f"{look * int(stages[0]['triplets']):,}: {mean([stage[name] for stage in stages])}"
            for look, name in enumerate(looks)
        ]
        yield [arm, "; ".join(texts)]


def by_pairs(rows: Sequence[Row]) -> Iterator[Row]:
    """Yield the rows of the experiments that differ in their pairs."""
    for size, _, arm, *_ in rows:
        experiment = read(when_pairs.SIZES[int(size.replace(",", ""))])
        final, fresh = experiment.final(arm), experiment.final("random")
        seen = max(experiment.curve(arm, experiment.seeds(arm)[0]))
        values = leads(final, fresh)
        more = (
            [between(values), p_text(p_value(values)), ratio(experiment, arm)]
            if arm != "random"
            else [""] * 3
        )
        yield [size, f"{seen:,}", arm, mean(list(final.values())), *more]


def ratio(experiment: Experiment, arm: str) -> str:
    """Return how many times the samples random needs for the score of an arm, with a bootstrap over seeds."""
    seeds = sorted({*experiment.seeds(arm)} & {*experiment.seeds("random")})
    own, others = ([experiment.curve(name, seed) for seed in seeds] for name in (arm, "random"))
    counts = sorted(set.intersection(*map(set, [*own, *others])))

    def at(chosen: Sequence[int]) -> float:
        first, second = (
            [math.fsum(curves[i][count] for i in chosen) / len(chosen) for count in counts]
            for curves in (own, others)
        )
        target = min(first[-1], second[-1])
        reached = reach(counts, first, target), reach(counts, second, target)
        return reached[1] / reached[0] if all(reached) else math.inf

    drawn = generator("curves").integers(len(seeds), size=(NUM_RESAMPLES, len(seeds)))
    found = sorted(map(at, drawn.tolist()))
    low, high = found[math.floor(0.025 * (len(found) - 1))], found[math.ceil(0.975 * (len(found) - 1))]
    return f"{at(range(len(seeds))):.2f} [{low:.2f}, {high:.2f}]"


def reach(counts: Sequence[int], curve: Sequence[float], target: float) -> float:
    """Return the samples at which a curve first reaches a value; 0 if it starts there, or never does."""
    if curve[0] >= target:
        return 0.0
    for (left, low), (right, high) in pairwise(zip(counts, curve, strict=True)):
        if high >= target:
            return left + (right - left) * (target - low) / (high - low)
    return 0.0


def planned_pairs(rows: Sequence[Row]) -> Iterator[Row]:
    """Yield people - shuffled by number of pairs."""
    for title, *_ in rows:
        experiment = read(when_pairs.SIZES[int(title.split()[0].replace(",", ""))])
        values = leads(experiment.final("people"), experiment.final("shuffled"))
        yield [title, between(values), p_text(p_value(values))]


def causes(rows: Sequence[Row]) -> Iterator[Row]:
    """Yield the rows of the possible causes of mimetic-MLP."""
    for title, _, arm, *_ in rows:
        experiment = read(CAUSES[title])
        final = experiment.final(arm)
        values = leads(final, experiment.final("mimetic"))
        seen = max(experiment.curve(arm, experiment.seeds(arm)[0]))
        more = ["", ""] if arm == "mimetic" else [between(values), p_text(p_value(values))]
        yield [title, f"{seen:,}", arm, mean(list(final.values())), *more]


def starts(name: str, head: Row, rows: Sequence[Row]) -> Iterator[Row]:
    """Yield the rows of a stage of the initializations."""
    experiment, longer = read(name), read(LONGER).final("random")
    seconds = {arm: processor_seconds(name, arm) for arm, _ in experiment.records}
    num = len({arm for arm, _ in experiment.records})
    for arm, *_, images in rows:
        if arm == "random-longer":
            values = leads(longer, experiment.final("random"))
            yield [arm, mean(list(longer.values()), percent=True), between(values), "", "", images]
            continue
        final = experiment.final(arm)
        cells = [arm, mean(list(final.values()), percent=True)]
        cells.append("" if arm == "random" else deciding(experiment, arm))
        if len(head) > 5:
            cells.append(between(leads(final, longer), num))
        yield [*cells, f"{seconds[arm]:.0f}", images]


def processor_seconds(name: str, arm: str) -> float:
    """Return the CPU seconds of an arm's stages, a mean over seeds; stages that were copied are those of their source."""
    found = []
    for path in sorted((KEPT / name / arm).glob("seed*/record.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        sources = [stage["taken_from"] for stage in record["init"] if "taken_from" in stage]
        folder = sources[0] if sources else f"{name}/{arm}/{path.parent.name}"
        wall = json.loads((KEPT / folder / "record.json").read_text(encoding="utf-8"))["wall_seconds"]
        with (KEPT / folder.split("/")[0] / "processor.csv").open(newline="") as file:
            spent = sum(float(row[2]) for row in csv.reader(file) if row[:2] == [arm, str(record["seed"])])
        found.append(spent * sum(wall[stage] for stage in wall if stage.startswith("init")) / wall["total"])
    return float(np.mean(found))


def trials(head: Row, rows: Sequence[Row]) -> Iterator[Row]:
    """Yield the rows of the trials of learning rates."""
    prefix = TRIALS[head[0].split(":")[0]]
    experiments = [read(f"{prefix}-{rate.replace('.', 'p')}") for rate in head[1:]]
    for arm, *_ in rows:
        yield [arm, *(f"{100 * experiment.final(arm)[0]:.1f}" for experiment in experiments)]


def other_rate(head: Row, rows: Sequence[Row]) -> Iterator[Row]:
    """Yield the rows of the arms at another learning rate."""
    shared = read("initializations")
    experiment = read(f"initializations-rate-{head[0].removeprefix('at ').replace('.', 'p')}")
    for arm, *_ in rows:
        final = experiment.final(arm)
        others = [leads(final, shared.final(name)) for name in ("random", arm)]
        texts = [between(values, len(rows)) for values in others]
        yield [arm, mean(list(final.values()), percent=True), *texts]


def when(head: Row, rows: Sequence[Row]) -> Iterator[Row]:
    """Yield when the leads emerge."""
    for title, *_ in rows:
        folder = KEPT / when_pairs.SIZES[int(title.replace(",", ""))]
        yield [title, *(when_pairs.cell(folder, *each.split(" - ")) for each in head[1:])]


def boxes(name: str, rows: Sequence[Row]) -> Iterator[Row]:
    """Yield the rows of the box of a page."""
    page = name.removesuffix("-box")
    experiment = read(OF_BOX.get(page, page))
    for question, shown, number, change in rows:
        told = NUMBER.fullmatch(number)
        values = leads(experiment.final(told["arm"]), experiment.final(told["reference"]))
        level = level_of_looks(*LOOKS[page]) if page in LOOKS else 0.95
        own = between(values, int(told["family"] or 1), level)
        low, high = map(float, re.findall(r"[-+][\d.]+", own)[1:])
        word = word_of("better" if low > 0 else "worse" if high < 0 else "undecided", shown)
        if max(-low, high) < 100 * DELTA:
            word = word_of("equivalent", shown)
        yield [question, word, renumbered(number, own, len(values)), change]


def renumbered(number: str, difference: str, num_seeds: int) -> str:
    """Return the number of a box with another difference and number of seeds."""
    told = NUMBER.fullmatch(number)
    return number.replace(told["difference"], difference).replace(
        f"{told['num']} seeds", f"{num_seeds} seeds"
    )


def word_of(outcome: str, shown: str) -> str:
    """Return the shown word of a box if it is one for an outcome, else the word that is expected."""
    return shown if shown.startswith(WORDS[outcome]) else WORDS[outcome][0]


def rebuild(name: str, stage: str, head: Row, rows: Sequence[Row]) -> list[Row]:
    """Return the rows of a table between the marks of an experiment; ValueError for an unknown table."""
    joint = {
        "changed": lambda: causes(rows),
        "question": lambda: boxes(name, rows),
        "people - shuffled, planned": lambda: planned_pairs(rows),
        "start": lambda: starts(STAGES[stage], head, rows),
    }
    if head[0] == "distinct pairs":
        return list(by_pairs(rows) if name == "pairs" else when(head, rows))
    if head[0] in joint:
        return list(joint[head[0]]())
    if head[0].startswith("at "):
        return list(other_rate(head, rows))
    if "accuracy on tuning" in head[0]:
        return list(trials(head, rows))
    experiment = read(name)
    if head[0] == "score":
        return list(scores(experiment, head, rows))
    if head[0].endswith("paired by seed"):
        return list(contrasts(experiment, rows))
    if head[0].endswith(" seen"):
        return list(along(experiment, head, rows))
    if head[1] == "held-out 2AFC by triplets seen":
        return list(agreement(experiment, rows))
    if head[1] == "spread after stage 1":
        return list(stage_one(experiment, head, rows))
    raise ValueError(f"{name}: no rule for the table of {head}")


def tables(text: str) -> Iterator[tuple[str, list[Row]]]:
    """Yield the title in bold above each table, and its rows, the head first."""
    stage, rows = "", []
    for line in [*text.splitlines(), ""]:
        if line.startswith("**"):
            stage = line.split("**")[1]
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip().strip("|").split("|")])
        elif rows:
            yield stage, rows
            rows = []


def differences(page: str) -> tuple[int, list[str]]:
    """Return the number of compared cells of a page, and a message for each that differs."""
    count, found = 0, []
    for name, block in MARK.findall((KEPT / f"{page}.md").read_text(encoding="utf-8")):
        for stage, (head, _, *rows) in tables(block):
            for row, expected in zip(rows, rebuild(name, stage, head, rows), strict=True):
                full = [*row, *[""] * (len(expected) - len(row))]
                for title, cell, own in zip(head, full, expected, strict=True):
                    count += 1
                    if cell != own:
                        found.append(f"{page}, {name}, {row[0]} {row[1]}, {title}: {cell}, rebuilt {own}")
    return count, found


def pages() -> list[str]:
    """Return the pages with tables between marks."""
    return [path.stem for path in sorted(KEPT.glob("*.md")) if MARK.search(path.read_text(encoding="utf-8"))]


if __name__ == "__main__":
    for each in pages():
        number, wrong = differences(each)
        print("\n".join([f"{each}: {number} cells, {len(wrong)} differ", *wrong]))
