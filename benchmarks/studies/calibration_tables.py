"""Rates of false answers for tables of scores, paired and unpaired."""

from __future__ import annotations

# S seeds, K arms
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from unittest import mock

import numpy as np
from calibration_counts import Cells, Counts, Row, Study, share

from perceptinit.analysis.compare import compare
from perceptinit.analysis.questions import SIDES
from perceptinit.files.columns import Columns
from perceptinit.results.run_tables import TableOptions, read_runs
from perceptinit.verdict import verdict
from perceptinit.verdict.headline import Judged
from perceptinit.verdict.verdict import Verdict

NUM = 600
DELTA = 1.0  # the unit is the standard deviation of a score over seeds
LEVEL = 100.0  # of the scores
DESIGNS = {
    "paired": {"random": 6, "a": 6},
    "paired, four arms": {"random": 6, "a": 6, "b": 6, "c": 6},
    "unpaired": {"random": 6, "a": 6},
    "unpaired, few runs": {"random": 3, "a": 3},
    "unpaired, few and many runs": {"random": 10, "a": 4},
    "unpaired, four arms": {"random": 6, "a": 6, "b": 6, "c": 6},
}
SPREADS = {"equal": 1.0, "three times in the baseline": 3.0}


def table_rows(cells: Cells) -> Iterator[Row]:
    """Yield rates of tables with a false answer, and with a true one."""
    for design in DESIGNS:
        for spread in SPREADS:
            counts = cells.find(f"tables/{design}/{spread}", NUM, _count_tables, design, spread)
            rates = (share(counts[name], counts["num"]) for name in ("side", "worth", "equivalent", "found"))
            yield design, spread, *rates


def _count_tables(rng: np.random.Generator, num: int, design: str, spread: str) -> Counts:
    counts = Counter(side=0, worth=0, equivalent=0, found=0)
    is_unpaired = design.startswith("unpaired")
    for _ in range(num):
        noise = _draw_noise(rng, DESIGNS[design], SPREADS[spread], is_unpaired)
        equal, at_delta, far = (_answer(noise, lead, is_unpaired) for lead in (0.0, DELTA, 4 * DELTA))
        counts.update(
            side=any(answer.outcome in SIDES for answer in equal),
            worth=any(answer.is_firm and answer.outcome in SIDES for answer in at_delta),
            equivalent=any(answer.outcome == "equivalent" for answer in at_delta),
            found=any(answer.outcome == "better" for answer in far),
        )
    return dict(counts)


def _draw_noise(
    rng: np.random.Generator, sizes: Mapping[str, int], spread: float, is_unpaired: bool
) -> dict[str, np.ndarray]:
    """Return the noise of each run by arm, shape (S,). The arms of a seed share half of their variance if paired."""
    shared = rng.standard_normal(max(sizes.values()))
    noise = {}
    for arm, num in sizes.items():
        own = rng.standard_normal(num)
        value = own if is_unpaired else np.sqrt(0.5) * (own + shared[:num])
        noise[arm] = (spread if arm == "random" else 1.0) * value
    return noise


def _answer(noise: Mapping[str, np.ndarray], lead: float, is_unpaired: bool) -> Sequence[Verdict]:
    """Return the answers of the headline of a table in which all arms lead the baseline by `lead`."""
    cells: dict[str, list[object]] = {name: [] for name in ("arm", "seed", "measure", "value")}
    for arm, values in noise.items():
        for seed, value in enumerate(values):
            first = 0 if arm == "random" or not is_unpaired else len(values)
            row = (arm, first + seed, "score", LEVEL + value + (0.0 if arm == "random" else lead))
            for name, cell in zip(cells, row, strict=True):
                cells[name].append(cell)
    table = Columns.of(Path("scores.csv"), cells, np.arange(2, len(cells["arm"]) + 2))
    runs = read_runs(table, TableOptions(baseline="random", delta=DELTA), {})
    # figures that no answer depends on are left out
    with (
        mock.patch.object(verdict, "seeds_to_decide", return_value=None),
        mock.patch.object(verdict, "probabilities", return_value=None),
    ):
        return Judged.of(compare(runs)).answers


STUDIES = {
    "tables": Study(
        (
            "design", "standard deviation", "any false better or worse", "any false “worth it”",
            "any false equivalent", "any lead of 4 called better",
        ),
        table_rows,
    ),
}  # fmt: skip
