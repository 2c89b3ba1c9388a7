"""The example notebook runs from top to bottom, and shows 2AFC rise."""

import json
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parent.parent / "examples" / "perceptual_init.ipynb"


def code_cells():
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def test_the_notebook_runs_and_2afc_rises(tmp_path, monkeypatch):
    matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    matplotlib.use("Agg")
    monkeypatch.setenv("PERCEPTINIT_CACHE", str(tmp_path))
    namespace = {}
    for i, cell in enumerate(code_cells()):
        exec(compile(cell, f"cell {i}", "exec"), namespace)
    metrics = namespace["report"].metrics
    assert metrics["2afc_val_after"] > metrics["2afc_val_before"] + 0.03
    assert len(namespace["curve"]) == namespace["epochs"] + 1
    assert len(namespace["axis"].lines[0].get_xdata()) == namespace["epochs"] + 1


def test_the_notebook_is_kept_without_outputs():
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    assert all(not cell.get("outputs") for cell in cells)
