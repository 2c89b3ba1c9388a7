"""Counts of experiments, saved in a file, and tables of their rates."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy import stats

from perceptinit.seeding import generator

Counts = dict[str, float]
Row = tuple[str, ...]


class Cells:
    """Counts by the name of the experiments, such as `seeds/normal/5`, saved in a JSON file.

    Args:
        path: The file; None stores the counts in memory only.
        num: Number of experiments of a cell; by default the number of its study.
    """

    def __init__(self, path: Path | None = None, num: int | None = None) -> None:
        self.path, self.num = path, num
        is_kept = path is not None and path.exists()
        self.counts: dict[str, Counts] = json.loads(path.read_text("utf-8")) if path and is_kept else {}

    @property
    def seconds(self) -> float:
        """Return the CPU seconds of all cells."""
        return sum(counts["cpu_seconds"] for counts in self.counts.values())

    def find(self, name: str, num: int, count: Callable[..., Counts], *options: Any) -> Counts:
        """Return and save the counts of a cell. count: function of draws, number of experiments and options."""
        if name not in self.counts:
            begun, num = time.process_time(), self.num or num
            counts = count(generator(0, "calibration", name), num, *options)
            seconds = round(time.process_time() - begun, 2)
            self.counts[name] = {"num": num, **counts, "cpu_seconds": seconds}
            self._write()
        return self.counts[name]

    def forget(self, study: str) -> None:
        """Drop the cells of a study."""
        self.counts = {k: v for k, v in self.counts.items() if not k.startswith(f"{study}/")}

    def _write(self) -> None:
        if self.path:
            lines = ",\n".join(f" {json.dumps(k)}: {json.dumps(v)}" for k, v in sorted(self.counts.items()))
            part = self.path.with_suffix(".part")
            part.write_text(f"{{\n{lines}\n}}\n", "utf-8")
            part.replace(self.path)


@dataclass(frozen=True, slots=True)
class Study:
    """A table of the page: its headings, and the function that computes its rows from cells."""

    headings: Sequence[str]
    rows: Callable[[Cells], Iterator[Row]]


def share(count: float, num: float) -> str:
    """Return a rate in percent with its 95 % interval (Clopper and Pearson); empty without experiments."""
    if not num:
        return ""
    between = stats.binomtest(int(count), int(num)).proportion_ci(0.95)
    return f"{100 * count / num:.1f} [{100 * between.low:.1f}, {100 * between.high:.1f}]"


def table(headings: Sequence[str], rows: Iterator[Row]) -> str:
    """Return a Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
