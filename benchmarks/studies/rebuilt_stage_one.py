"""Cells of docs/results/stage-one.md, rebuilt a second time with other formulas (the package is not imported).

python benchmarks/studies/rebuilt_stage_one.py      -> the number of compared cells, and each difference
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rebuilt_cells import Row, tables
from scipy import stats

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/results/stage-one.md"
RECORDS = ROOT / "benchmarks/results/stage_one.jsonl"
NAMES = {
    "EfficientNet-Lite0, ImageNet": "lite0",
    "AlexNet trunk, ImageNet": "alexnet",
    "ViT, random": "random-vit",
    "ResNet, random": "random-resnet",
    "materials": "materials",
    "CIFAR-10H": "cifar10h",
}


class Runs:
    """Records by network, training set, method and seed."""

    def __init__(self, records: Sequence[Mapping]) -> None:
        self._found = {
            (record["network"], record["trained"], record["method"], record["seed"]): record
            for record in records
        }

    def seeds(self, network: str, trained: str) -> list[int]:
        """Return the seeds that all methods have."""
        by_method: dict[str, set[int]] = {}
        for name, other, method, seed in self._found:
            if (name, other) == (network, trained):
                by_method.setdefault(method, set()).add(seed)
        return sorted(set.intersection(*by_method.values()))

    def scores(self, network: str, trained: str, scored: str, method: str) -> dict[int, float]:
        """Return 2AFC in percent by seed."""
        return {
            seed: 100 * self._found[network, trained, method, seed]["scores"][scored][0]
            for seed in self.seeds(network, trained)
        }

    def seconds(self, network: str, trained: str, method: str) -> float:
        """Return the mean CPU seconds."""
        seeds = self.seeds(network, trained)
        return statistics.fmean(self._found[network, trained, method, seed]["cpu_seconds"] for seed in seeds)

    def leads(self, network: str, trained: str, scored: str, method: str) -> dict[int, float]:
        """Return 2AFC of a method minus that of the loop by seed."""
        loop = self.scores(network, trained, scored, "loop")
        own = self.scores(network, trained, scored, method)
        return {seed: own[seed] - loop[seed] for seed in loop}

    def settings(self, kind: str, trained: str) -> list[float]:
        """Return rate and steps of the loop for random or learned weights."""
        found = [
            record["loop"]
            for (network, other, *_), record in self._found.items()
            if other == trained and network.startswith("random") == (kind == "random")
        ]
        assert all(each == found[0] for each in found), (kind, trained)
        return found[0]


def limits(values: Sequence[float], num_family: int) -> tuple[float, float, float]:
    """Return a mean with the limits of the two-sided t test that are simultaneous over a family."""
    found = stats.ttest_1samp(values, 0).confidence_interval(1 - 0.05 / num_family)
    return statistics.fmean(values), float(found.low), float(found.high)


def text_of(found: tuple[float, float, float], unit: str = "") -> str:
    mean, low, high = (f"{each:+.1f}" for each in found)
    return f"{mean}{unit} [{low}, {high}]"


def compared(runs: Runs, rows: Sequence[Row]) -> Iterator[Row]:
    """Yield the rows of the table of call and loop."""
    for network, trained, scored, *_ in rows:
        own = tuple(NAMES[each] for each in (network, trained, scored))
        scores = [runs.scores(*own, method).values() for method in ("untouched", "loop", "default")]
        found = limits(list(runs.leads(*own, "default").values()), len(rows))
        seconds = [runs.seconds(*own[:2], method) for method in ("loop", "default")]
        reasons = []
        if found[1] > 0:
            reasons.append("better")
        if seconds[1] / seconds[0] <= 0.5:
            reasons.append("half the CPU s")
        means = [f"{statistics.fmean(each):.1f}" for each in scores]
        times = [f"{each:.0f}" for each in seconds]
        yield [network, trained, scored, *means, text_of(found), *times, ", ".join(reasons)]


def others(runs: Runs, rows: Sequence[Row]) -> Iterator[Row]:
    """Yield the rows of the table of other methods."""
    for network, method, trained, scored, *_ in rows:
        own = tuple(NAMES[each] for each in (network, trained, scored))
        level = statistics.fmean(runs.scores(*own, method).values())
        lead = text_of(limits(list(runs.leads(*own, method).values()), 1))
        yield [
            network,
            method,
            trained,
            scored,
            f"{level:.1f}",
            lead,
            f"{runs.seconds(*own[:2], method):.0f}",
        ]


def settings(runs: Runs, rows: Sequence[Row]) -> Iterator[Row]:
    """Yield the rows of the table of the loop's settings."""
    for kind, trained, *_ in rows:
        lr, steps = runs.settings(kind, NAMES[trained])
        yield [kind, trained, f"{lr:g}", f"{steps}"]


def box(runs: Runs, rows: Sequence[Row], cells: Sequence[Row]) -> Iterator[Row]:
    """Yield the row of the box, from the cells of the table below it."""
    by_seed: dict[int, list[float]] = {}
    families, good = [], 0
    for network, trained, scored, *_, reasons in cells:
        leads = runs.leads(*(NAMES[each] for each in (network, trained, scored)), "default")
        families.append(limits(list(leads.values()), len(cells)))
        good += bool(reasons)
        for seed, lead in leads.items():
            by_seed.setdefault(seed, []).append(lead)
    means = [statistics.fmean(each) for each in by_seed.values() if len(each) == len(cells)]
    mean = limits(means, 1)
    word = "not shown"
    if any(high < 0 for *_, high in families) or mean[2] < -0.5:
        word = "no"
    elif max(high - low for _, low, high in families) <= 5 and mean[1] > -0.5 and 2 * good >= len(cells):
        word = "yes"
    number = f"call - loop {text_of(mean, ' points')}, mean over {len(cells)} cells, {len(means)} runs"
    for question, _, _, change in rows:
        yield [question, word, number, change]


def differences(page: str, records: Sequence[Mapping]) -> tuple[int, list[str]]:
    """Return the number of compared cells of the page, and a message for each that differs."""
    runs = Runs(records)
    (_, first), (_, second), (_, third), (_, last) = tables(page)
    pairs = [
        (first, box(runs, first[2:], second[2:])),
        (second, compared(runs, second[2:])),
        (third, others(runs, third[2:])),
        (last, settings(runs, last[2:])),
    ]
    count, found = 0, []
    for (head, _, *rows), rebuilt in pairs:
        for shown, expected in zip(rows, rebuilt, strict=True):
            for title, cell, own in zip(head, shown, expected, strict=True):
                count += 1
                if cell != own:
                    found.append(f"{', '.join(shown[:3])}, {title}: {cell}, rebuilt {own}")
    return count, found


if __name__ == "__main__":
    lines = RECORDS.read_text("utf-8").splitlines()
    number, wrong = differences(PAGE.read_text("utf-8"), [json.loads(line) for line in lines])
    print("\n".join([f"stage-one: {number} cells, {len(wrong)} differ", *wrong]))
