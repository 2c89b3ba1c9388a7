"""The script for the first minutes on a GPU runs on a CPU at tiny size and saves each measurement."""

import json
import time

import pytest
from helpers.command_line import ROOT


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "plugins/perceptinit-estimate")
    import first_gpu_run

    return first_gpu_run


EXPENSIVE = {"speed", "processes", "compiled"}


def measure(script, folder, monkeypatch, is_expensive):
    """Return what the script found at tiny size, in its expensive parts or in the others."""
    parts = {name: text for name, text in script.PARTS.items() if (name in EXPENSIVE) == is_expensive}
    monkeypatch.setattr(script, "PARTS", parts)
    assert script.main(["--tiny", "--minutes", "60", "--out", str(folder / "run")]) == 0
    assert "No setting failed." in (folder / "run.md").read_text()
    report = json.loads((folder / "run.json").read_text())
    assert list(report["parts"]) == list(parts)
    return {
        part: {name: one["found"] for name, one in rows.items()} for part, rows in report["parts"].items()
    }


@pytest.mark.slow
def test_the_expensive_parts_finish_at_tiny_size(script, tmp_path, monkeypatch):
    found = measure(script, tmp_path, monkeypatch, is_expensive=True)
    assert found.keys() == EXPENSIVE
    assert all(row["samples_per_second"] > 0 and row["predicted_gb"] > 0 for row in found["speed"].values())


def test_every_other_part_finishes_at_tiny_size(script, tmp_path, monkeypatch):
    found = measure(script, tmp_path, monkeypatch, is_expensive=False)
    assert all(row["is_as_expected"] for row in found["losses"].values())
    assert all(row["is_identical"] for row in found["repeats"].values())
    assert found["initializers"]["triplet-hinge"].startswith("changed")
    (profiled,) = found["host_gap"].values()
    assert profiled["share_of_main_thread"]["fingerprint of batches"] > 0
    assert found["open_clip"]["tiny"]["ratio"] > 0


@pytest.fixture
def report(script, tmp_path):
    about = {"card": "a card", "torch": "2", "cores": 1}
    return script.Report(tmp_path / "run", about)


class Parts:
    """A part whose second setting fails, and one whose first setting takes too long."""

    def losses(self):
        yield "first", lambda: 1
        yield "second", lambda: 1 / 0
        yield "third", lambda: 3

    def speed(self):
        yield "slow", lambda: time.sleep(60)
        yield "fast", lambda: 5


def test_a_setting_that_fails_or_times_out_is_recorded_and_the_next_one_runs(script, report, tmp_path):
    for part in ("losses", "speed"):
        script.measure_part(Parts(), part, report, time.perf_counter() + 100, share=0.5)
    parts = json.loads((tmp_path / "run.json").read_text())["parts"]
    assert parts["losses"]["second"]["failed"] == "ZeroDivisionError: division by zero"
    assert parts["losses"]["third"]["found"] == 3
    assert parts["speed"]["slow"]["failed"] == "TimeoutError: more than 0 s"
    assert parts["speed"]["fast"]["found"] == 5
    assert "Failed: losses: second, speed: slow." in (tmp_path / "run.md").read_text()


def test_the_files_are_complete_after_each_setting(script, report, tmp_path):
    class Killed(Parts):
        def losses(self):
            yield "first", lambda: 1
            kept.append(json.loads((tmp_path / "run.json").read_text())["parts"])

    kept = []
    script.measure_part(Killed(), "losses", report, time.perf_counter() + 100, share=1.0)
    assert kept[0]["losses"]["first"]["found"] == 1


def test_a_missing_gpu_is_refused(script, tmp_path, capsys):
    assert script.main(["--device", "cuda:99", "--out", str(tmp_path / "run")]) == 2
    assert "device 'cuda:99' cannot be used" in capsys.readouterr().err
    assert not (tmp_path / "run.json").exists()


def test_kernels_are_added_up_by_cause(script):
    kernels = {
        "vectorized_layer_norm_kernel": 0.1,
        "Memcpy HtoD (Pinned -> Device)": 0.05,
        "nvjet_hsh_128x256": 0.5,
        "vectorized_elementwise_kernel<GeluCUDAKernel>": 0.08,
        "unrolled_elementwise_kernel<direct_copy_kernel_cuda>": 0.07,
        "mystery": 0.02,
    }
    found = {cause: share for cause, share in script.add_by_cause(kernels).items() if share}
    assert found == {
        "copies between host and GPU": 0.05,
        "layer norm": 0.1,
        "GELU": 0.08,
        "matrix products": 0.5,
        "casts and copies": 0.07,
        "others": 0.02,
    }


def test_the_seconds_of_the_main_thread_are_added_up(script):
    with script.timed({"dumps": "json:dumps"}) as spent:
        assert json.dumps([1]) == "[1]"
    assert spent["dumps"] > 0
    assert json.dumps.__name__ == "dumps"
