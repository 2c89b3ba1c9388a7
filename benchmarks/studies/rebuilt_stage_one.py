"""Cells of the pages of two studies of stage 1, rebuilt a second time with other formulas (the package is not imported).

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
RESULTS = ROOT / "benchmarks/results"
# records of each page
PAGES = {
    ROOT / "docs/results/stage-one.md": RESULTS / "stage_one_second.jsonl",
    ROOT / "docs/results/stage-one-earlier.md": RESULTS / "stage_one.jsonl",
}
NAMES = {
    "EfficientNet-Lite0, ImageNet": "lite0",
    "AlexNet trunk, BAPPS": "alexnet",
    "ViT, random": "random-vit",
    "ResNet, random": "random-resnet",
    "materials": "materials",
    "CIFAR-10H": "cifar10h",
}


class Runs:
    """Records by network, training set, method and unit: runs whose seeds have the same last two digits."""

    def __init__(self, records: Sequence[Mapping]) -> None:
        self._found: dict[tuple, list[Mapping]] = {}
        for record in records:
            key = record["network"], record["trained"], record["method"], str(record["seed"])[-2:]
            self._found.setdefault(key, []).append(record)

    def units(self, network: str, trained: str) -> list[str]:
        """Return the units of which all methods have all runs."""
        sizes = {key[2:]: len(found) for key, found in self._found.items() if key[:2] == (network, trained)}
        methods = {method for method, _ in sizes}
        whole = max(sizes.values())
        units = sorted({unit for _, unit in sizes})
        return [unit for unit in units if all(sizes.get((method, unit)) == whole for method in methods)]

    def are_averaged(self) -> bool:
        """Return whether a unit has several runs."""
        return any(len(found) > 1 for found in self._found.values())

    def loops(self, network: str, trained: str) -> list[str]:
        """Return the names of the loops, with the opponent first: the better one on unseen images of the training set."""
        names = {key[2] for key in self._found if key[:2] == (network, trained) and "loop" in key[2]}
        means = {
            name: statistics.fmean(self.scores_of(network, trained, trained, name).values())
            for name in sorted(names, reverse=True)
        }
        return sorted(means, key=means.__getitem__, reverse=True)

    def scores(self, network: str, trained: str, scored: str, method: str) -> dict[str, float]:
        """Return 2AFC in percent by unit; "loop" is the opponent."""
        name = self.loops(network, trained)[0] if method == "loop" else method
        return self.scores_of(network, trained, scored, name)

    def scores_of(self, network: str, trained: str, scored: str, method: str) -> dict[str, float]:
        """Return 2AFC in percent by unit of a method by its name in the records."""
        return {
            unit: 100
            * statistics.fmean(
                record["scores"][scored][0] for record in self._found[network, trained, method, unit]
            )
            for unit in self.units(network, trained)
        }

    def seconds(self, network: str, trained: str, method: str) -> float:
        """Return the mean CPU seconds."""
        units = self.units(network, trained)
        method = self.loops(network, trained)[0] if method == "loop" else method
        runs = [record for unit in units for record in self._found[network, trained, method, unit]]
        return statistics.fmean(record["cpu_seconds"] for record in runs)

    def leads(self, network: str, trained: str, scored: str, method: str) -> dict[str, float]:
        """Return 2AFC of a method minus that of the loop by unit."""
        loop = self.scores(network, trained, scored, "loop")
        own = self.scores(network, trained, scored, method)
        return {unit: own[unit] - loop[unit] for unit in loop}

    def setting(self, network: str, trained: str, name: str) -> str:
        """Return rate and steps of a loop, which all its runs share."""
        found = {
            tuple(record["loop"])
            for key, records in self._found.items()
            if key[:3] == (network, trained, name)
            for record in records
        }
        ((rate, steps),) = found
        return f"{rate:g}, {steps}"


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
        means.insert(1, runs.setting(*own[:2], runs.loops(*own[:2])[0]))
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
    """Yield the rows of the table of loops."""
    for network, trained, kind, *_ in rows:
        own = NAMES[network], NAMES[trained]
        name = "fixed loop" if kind == "fixed" else "loop"
        level = statistics.fmean(runs.scores_of(*own, own[1], name).values())
        is_opponent = "yes" if runs.loops(*own)[0] == name else ""
        yield [network, trained, kind, runs.setting(*own, name), f"{level:.1f}", is_opponent]


def box(runs: Runs, rows: Sequence[Row], cells: Sequence[Row]) -> Iterator[Row]:
    """Yield the row of the box, from the cells of the table below it."""
    by_unit: dict[str, list[float]] = {}
    families, good = [], 0
    for network, trained, scored, *_, reasons in cells:
        leads = runs.leads(*(NAMES[each] for each in (network, trained, scored)), "default")
        families.append(limits(list(leads.values()), len(cells)))
        good += bool(reasons)
        for unit, lead in leads.items():
            by_unit.setdefault(unit, []).append(lead)
    means = [statistics.fmean(each) for each in by_unit.values() if len(each) == len(cells)]
    mean = limits(means, 1)
    word = "not shown"
    num_worse = sum(high < 0 for *_, high in families)
    if num_worse or mean[2] < -0.5:
        word = "no"
    elif max(high - low for _, low, high in families) <= 5 and mean[1] > -0.5 and 2 * good >= len(cells):
        word = "yes"
    lead = f"call - loop {text_of(mean, ' points')}, mean over {len(cells)} cells"
    sample = "units" if runs.are_averaged() else "runs"
    for question, _, _, change in rows:
        number = f"{lead}, {len(means)} {sample}; worse in {num_worse} cell{'' if num_worse == 1 else 's'}"
        yield [question, word, number, change]


def differences(page: str, records: Sequence[Mapping]) -> tuple[int, list[str]]:
    """Return the number of compared cells of the page, and a message for each that differs."""
    runs = Runs(records)
    (_, first), (_, second), *rest = tables(page)
    pairs = [(first, box(runs, first[2:], second[2:])), (second, compared(runs, second[2:]))]
    if rest:
        (_, third), (_, last) = rest
        pairs += [(third, others(runs, third[2:])), (last, settings(runs, last[2:]))]
    count, found = 0, []
    for (head, _, *rows), rebuilt in pairs:
        for shown, expected in zip(rows, rebuilt, strict=True):
            for title, cell, own in zip(head, shown, expected, strict=True):
                count += 1
                if cell != own:
                    found.append(f"{', '.join(shown[:3])}, {title}: {cell}, rebuilt {own}")
    return count, found


if __name__ == "__main__":
    for path in PAGES:
        if path.is_file():
            lines = PAGES[path].read_text("utf-8").splitlines()
            number, wrong = differences(path.read_text("utf-8"), [json.loads(line) for line in lines])
            print("\n".join([f"{path.stem}: {number} cells, {len(wrong)} differ", *wrong]))
