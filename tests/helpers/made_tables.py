"""Tables of scores in memory."""

from pathlib import Path

import numpy as np

from perceptinit.files.columns import Columns
from perceptinit.results.run_tables import TableOptions, load_results, read_runs


def read_scores(arms, baseline="random", measure="acc", **options):
    """Return the runs of a table, given the score of each arm and seed; None for a run without one."""
    rows = [(arm, seed, measure, value) for arm, own in arms.items() for seed, value in own.items()]
    cells = dict(zip(("arm", "seed", "measure", "value"), map(list, zip(*rows, strict=True)), strict=True))
    table = Columns.of(Path("results.csv"), cells, np.arange(2, len(rows) + 2))
    return read_runs(table, TableOptions(baseline=baseline, **options), {})


def read_text(folder, text, name="results.csv", **options):
    """Return the runs of a table, given its text, which is written to a file."""
    (folder / name).write_text(text)
    return load_results([folder / name], options=TableOptions(**{"baseline": "random", **options}))
