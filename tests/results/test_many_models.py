"""A table of 1,000 models on 31 sets: readable sentences, and every model in the table."""

import re

import numpy as np
import pytest


@pytest.mark.slow
def test_a_thousand_models_on_31_sets_are_compared(cli, tmp_path):
    rng = np.random.default_rng(0)
    names = [f"model-{i:04d}" for i in range(1000)]
    values = (
        0.4
        + 0.01 * np.arange(31)[:, None, None]
        + rng.normal(0, 0.03, (1000, 1))
        + rng.normal(0, 0.005, (31, 1000, 3))
    )
    rows = [
        f"{name},{seed},top1/set{k:02d},{values[k, i, seed]:.4f}"
        for i, name in enumerate(names)
        for seed in range(3)
        for k in range(31)
    ]
    (tmp_path / "models.csv").write_text("\n".join(["arm,seed,measure,value", *rows]))
    found = cli(
        "compare", tmp_path / "models.csv", "--baseline", "model-0000", "--columns", "value=top1/set07"
    )
    answer, _, table = found.text.partition("Read: ")
    assert len(answer.split()) < 120
    assert re.search(r"and \d{3} more", answer)
    assert len(table.split("More (")[0].split("arm ")[0].split()) < 60
    assert all(name in table for name in names)
    shown = dict(line.split()[:2] for line in found.stdout.splitlines() if line.strip().startswith("model-"))
    means = 100 * values[7].mean(axis=1)
    assert [float(shown[name]) for name in names] == pytest.approx(means.tolist(), abs=0.06)
