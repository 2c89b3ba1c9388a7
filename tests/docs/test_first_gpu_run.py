"""The script for the first hour on a GPU ends on a CPU at tiny size, with every part and a page."""

import json

import pytest
from helpers.command_line import ROOT


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import first_gpu_run

    return first_gpu_run


def test_every_part_ends_at_tiny_size(script, tmp_path):
    """Slow: some twenty short trainings, two of them compiled, are what the script is."""
    assert script.main(["--size", "tiny", "--device", "cpu", "--out", str(tmp_path / "run")]) == 0
    report = json.loads((tmp_path / "run.json").read_text())
    assert list(report["parts"]) == list(script.PARTS)
    found = {name: part["found"] for name, part in report["parts"].items()}
    assert all(row["is_as_expected"] for row in found["losses"].values())
    assert found["repeats"]["two_runs_are_identical"]
    assert found["repeats"]["resumed_is_identical"]
    assert found["initializers"]["triplet-hinge"].startswith("changed")
    assert found["speed"]["bf16"]["samples_per_second"] > 0
    assert "Nothing failed." in (tmp_path / "run.md").read_text()


def test_a_part_that_fails_is_told_and_a_missing_gpu_is_refused(script, tmp_path, capsys):
    def fails():
        raise ValueError("no such kernel")

    assert script.attempt(fails)["failed"] == "ValueError: no such kernel"
    assert script.main(["--device", "cuda:99", "--out", str(tmp_path / "run")]) == 2
    assert "device 'cuda:99' cannot be used" in capsys.readouterr().err
    assert not (tmp_path / "run.json").exists()
