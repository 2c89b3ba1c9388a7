"""Commands that only show information start fast: they import no heavy package."""

import pytest
from helpers import made_runs
from PIL import Image

# pydantic is not among them: recent typer imports it by itself where it is installed
HEAVY = ("torch", "numpy", "open_clip", "timm", "webdataset", "scipy", "pyarrow", "PIL")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["list"],
        ["list", "judgments"],
        ["list", "plugins"],
        ["run", "--help"],
        ["compare", "--help"],
        ["report", "--help"],
        ["status", "--help"],
        ["preregister", "--help"],
        ["data", "--help"],
        ["data", "index", "--help"],
        ["data", "pack", "--help"],
        ["data", "download", "--help"],
        ["data", "check", "--help"],
    ],
)
def test_commands_that_show_information_import_no_heavy_package(cli_process, arguments):
    done = cli_process(*arguments, PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0, done.stderr
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert imported & {"typer"}, "the import profile is empty"
    assert sorted(imported & set(HEAVY)) == []


def test_data_list_does_not_import_torch(cli_process):
    done = cli_process("data", "list", PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0, done.stderr
    names = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "numpy" in names
    assert sorted(names & {"torch", "torchvision", "open_clip", "timm"}) == []


def test_compare_imports_neither_torch_nor_scipy_stats(cli_process, tmp_path):
    made_runs.write(tmp_path, made_runs.three_by_three())
    done = cli_process("compare", "made", PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0, done.stderr
    names = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "scipy.special" in names
    assert sorted(names & {"torch", "scipy.stats", "pyarrow"}) == []


def test_data_check_of_a_table_imports_neither_torch_nor_pandas(cli_process, tmp_path):
    for name in "abc":
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.png")
    (tmp_path / "lab.csv").write_text("anchor,positive,negative\na.png,b.png,c.png\n")
    done = cli_process("data", "check", "lab.csv", PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0, done.stderr
    assert "No errors." in done.stdout
    names = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "pyarrow" in names
    assert sorted(names & {"torch", "torchvision", "pandas"}) == []


def test_import_perceptinit_imports_no_heavy_package(cli_process):
    import subprocess
    import sys

    code = "import sys, perceptinit; print(sorted({'torch', 'numpy', 'typer'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
