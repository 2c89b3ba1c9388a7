"""The example notebooks run from top to bottom and are stored with their outputs."""

import contextlib
import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples"
NOTEBOOKS = sorted(path.name for path in FOLDER.glob("*.ipynb"))


def cells_of(name):
    cells = json.loads((FOLDER / name).read_text())["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


@pytest.fixture
def played(tmp_path, monkeypatch):
    """Return a function that runs a notebook in a new folder and returns its variables."""
    matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    matplotlib.use("Agg")
    monkeypatch.setenv("PERCEPTINIT_CACHE", str(tmp_path / "cache"))

    def play(name):
        namespace = {}
        with contextlib.chdir(tmp_path):
            for i, cell in enumerate(cells_of(name)):
                exec(compile("".join(cell["source"]), f"{name}, cell {i}", "exec"), namespace)
        return namespace

    return play


def test_the_first_notebook_improves_2afc(played):
    variables = played("perceptual_init.ipynb")
    metrics = variables["report"].metrics
    assert metrics["2afc_val_after"] > metrics["2afc_val_before"] + 0.03
    assert len(variables["curve"]) == variables["epochs"] + 1
    assert len(variables["axis"].lines[0].get_xdata()) == variables["epochs"] + 1


def test_the_own_table_notebook_trains_a_tower(played, capsys):
    variables = played("own_table.ipynb")
    assert variables["report"].changed
    assert "val: 100 judgments, 698 votes\n" in capsys.readouterr().out


def test_the_rdms_notebook_trains_on_matrices_and_evaluates_them(played):
    variables = played("rdms.ipynb")
    means = {"random": [], "pi": []}
    for record in variables["records"]:
        values = [s["value"] for s in record["scores"] if s["name"] == "rsa_spearman/matrices"]
        means[record["arm"]["name"]].append(values[-1])
    assert sum(means["pi"]) > sum(means["random"])


def test_the_records_notebook_builds_a_pandas_table(played):
    pytest.importorskip("pandas", reason="pandas is not installed")
    variables = played("records_in_pandas.ipynb")
    assert set(variables["scores"]["arm"]) == {"random", "pi"}
    assert list(variables["by_arm"].columns) == ["pi", "random", "pi - random"]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_stored_with_its_outputs(name):
    outputs = [output for cell in cells_of(name) for output in cell["outputs"]]
    kinds = {output["output_type"] for output in outputs}
    assert kinds & {"display_data", "execute_result"}  # a figure or a table
    assert "error" not in kinds
    assert not [o for o in outputs if o.get("name") == "stderr"]
    assert (FOLDER / name).stat().st_size < 150_000
