"""Duration of planning, `status`, `compare` and `report` with hundreds of synthetic records.

    python benchmarks/many_runs.py --arms 10 --seeds 50
    python benchmarks/many_runs.py --checkouts OTHER .    alternates two checkouts

Nothing is trained: each run has the record of a finished run, of the quickstart's size and with 40 scores. One run in
ten has no record, and half of these are listed as queued jobs. `plan` is the work of `run --submit slurm` before it
submits. Its process has already imported the package, as for the first rows. The commands `compare` and `report` run
in new processes, so their imports count.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import bench

from perceptinit.analysis.compare import compare
from perceptinit.recipe.reading import read_recipe
from perceptinit.reports.status import status_table
from perceptinit.reports.tables import rich_table
from perceptinit.results.record import write_record
from perceptinit.results.runs import load_experiments, load_runs
from perceptinit.results.states import note_job
from perceptinit.running.cells import Cell, plan_cells, prepare
from perceptinit.running.queue import in_queue
from perceptinit.running.runner import run_recipe
from perceptinit.verdict.headline import Judged

RECIPE = (
    """
schema = 1
name = "many"
seeds = {seeds}
"""
    + bench.TINY_BACKBONE
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
ONE_IN = 10  # runs has no record


def make(cells: list[Cell], out: Path) -> None:
    """Write the records of runs: the first is created, the others are copies with different scores."""
    first = cells[0]
    run_recipe(first.recipe, arms=[first.arm.name], seeds=[first.seed], out=out, device="cpu")
    record = json.loads(first.record_path.read_text())
    row = record["scores"][-1]
    shutil.rmtree(first.folder)
    for i, cell in enumerate(cells):
        if i % ONE_IN == ONE_IN - 1:
            continue
        cell.folder.mkdir(parents=True)
        write_record(cell.record_path, _copy(record, row, cell, i))
    note_job(
        cells[0].root,
        "1",
        [{"arm": cell.arm.name, "seed": cell.seed} for cell in cells[ONE_IN - 1 :: 2 * ONE_IN]],
    )


def _copy(record: dict[str, Any], row: dict[str, Any], cell: Cell, i: int) -> dict[str, Any]:
    names = [f"top1/set{k}" for k in range(NUM_SCORES)]
    scores = [row | {"name": n, "value": 0.5 + (i * 7 + k) % 100 / 1000} for k, n in enumerate(names)]  # fmt: skip
    arm = record["arm"] | {"name": cell.arm.name, "resolved": cell.recipe.resolve(cell.arm)}
    fingerprint = cell.recipe.fingerprint(cell.arm)
    return record | {"arm": arm, "seed": cell.seed, "scores": scores, "fingerprint": fingerprint}


def main() -> None:
    options = bench.parse(
        __doc__,
        arms=10,
        seeds=50,
        rounds=3,
        checkouts=[str(Path(__file__).parent.parent)],
        tiny={"arms": 2, "seeds": 10, "rounds": 1},
    )
    arms = "".join(f'[[arm]]\nname = "arm{k}"\ninit = []\n' for k in range(options.arms))
    text = RECIPE.format(seeds=list(range(options.seeds))) + arms
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "runs"
        cells = plan_cells(read_recipe(text), out=out)
        make(cells, out)
        root = cells[0].root
        num_finished = len(cells) - len(cells) // ONE_IN

        def plan() -> None:
            recipe = read_recipe(text)
            planned = plan_cells(recipe, out=out)
            prepare(recipe, planned, fresh=False)
            assert sum(cell.loaded.state == "finished" for cell in planned) == num_finished

        def show_table() -> None:
            runs = load_runs([root])
            assert len(runs.finished) == num_finished
            found = compare(runs)
            rich_table(Judged.of(found), found.matching(()))

        def show_status() -> None:
            for experiment in load_experiments([root]):
                status_table(experiment, in_queue)

        works = {"plan": plan, "status": show_status, "compare": show_table}
        sides = {name: partial(bench.spend, work) for name, work in works.items()}
        print(
            f"{len(cells)} runs, {num_finished} finished, medians of {options.rounds}; {bench.about()}",
            flush=True,
        )
        for name, spent in bench.alternate(sides, options.rounds).items():
            cpu, wall = bench.columns(spent)
            print(f"{name:8} {bench.spread(cpu, 'CPU s')}, {bench.spread(wall, 's wall')}", flush=True)
        page = Path(folder) / "page.html"
        commands = {
            f"`compare` of {len(cells)} runs": ["compare", root],
            f"`report` of {len(cells)} runs": ["report", root, "--out", page],
        }
        bench.print_rows(commands, options.checkouts, options.rounds)


if __name__ == "__main__":
    main()
