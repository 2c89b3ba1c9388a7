"""Duration of planning, `status` and `compare` with hundreds of synthetic records.

    python benchmarks/many_runs.py [--arms 10] [--seeds 50]

Nothing is trained: each run has the record of a finished run, of the quickstart's size and with 40 scores. One run in
ten has no record, and half of these are listed as queued jobs. `plan` is the work of `run --on slurm` before it
submits. Each number is one measurement in a process that has already imported the package.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from perceptinit.analysis.compare import compare
from perceptinit.recipe.reading import read_recipe
from perceptinit.reports.status import status_table
from perceptinit.reports.tables import rich_table
from perceptinit.results.queue import note_job
from perceptinit.results.runs import load_experiments, load_runs
from perceptinit.running.cells import Cell, plan_cells, prepare
from perceptinit.running.runner import run_recipe

TINY_BACKBONE = (Path(__file__).parent / "tiny_backbone.toml").read_text()
RECIPE = (
    """
schema = 1
name = "many"
seeds = {seeds}
"""
    + TINY_BACKBONE
    + """
[[eval]]
use = "two-afc"
[eval.judgments]
use = "synthetic"
num_train = 16
num_val = 16
num_test = 16
image_size = 16
"""
)
NUM_SCORES = 40


def make(cells: list[Cell], out: Path) -> None:
    """Write the records of runs: the first is created, the others are copies with different scores."""
    first = cells[0]
    run_recipe(first.recipe, arms=[first.arm.name], seeds=[first.seed], out=out, device="cpu")
    record = json.loads(first.record_path.read_text())
    row = record["scores"][-1]
    shutil.rmtree(first.folder)
    for i, cell in enumerate(cells):
        if i % 10 == 9:
            continue
        cell.folder.mkdir(parents=True)
        cell.record_path.write_text(json.dumps(_copy(record, row, cell, i), indent=2))
    note_job(cells[0].root, "1", [{"arm": cell.arm.name, "seed": cell.seed} for cell in cells[9::20]])


def _copy(record: dict[str, Any], row: dict[str, Any], cell: Cell, i: int) -> dict[str, Any]:
    names = [f"top1/set{k}" for k in range(NUM_SCORES)]
    scores = [row | {"name": n, "value": 0.5 + (i * 7 + k) % 100 / 1000} for k, n in enumerate(names)]  # fmt: skip
    arm = record["arm"] | {"name": cell.arm.name, "resolved": cell.recipe.resolve(cell.arm)}
    fingerprint = cell.recipe.fingerprint(cell.arm)
    return record | {"arm": arm, "seed": cell.seed, "scores": scores, "fingerprint": fingerprint}


def seconds(work: Callable[[], object]) -> float:
    """Return how long the work takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--arms", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=50)
    given = parser.parse_args()
    arms = "".join(f'[[arm]]\nname = "arm{k}"\ninit = []\n' for k in range(given.arms))
    text = RECIPE.format(seeds=list(range(given.seeds))) + arms
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "runs"
        cells = plan_cells(read_recipe(text), out=out)
        make(cells, out)
        root = cells[0].root

        def plan() -> None:
            recipe = read_recipe(text)
            planned = plan_cells(recipe, out=out)
            prepare(recipe, planned, fresh=False)
            print(sum(not cell.state.is_finished for cell in planned), "of", len(planned), "left")

        def show_table() -> None:
            found = compare(load_runs([root]))
            rich_table(found, found.matching(()))

        def show_status() -> None:
            for experiment in load_experiments([root]):
                status_table(experiment)

        for name, work in {"plan": plan, "status": show_status, "compare": show_table}.items():
            print(f"{name}: {seconds(work):.1f} s", flush=True)


if __name__ == "__main__":
    main()
