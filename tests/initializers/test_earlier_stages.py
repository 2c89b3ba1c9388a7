"""Finished stages of `init` are copied from another experiment and give the same weights."""

import shutil

import pytest
from helpers.earlier import TINY
from helpers.processes import together
from safetensors.torch import load_file, save_file

from perceptinit.errors import CheckpointError
from perceptinit.recipe.reading import read_recipe
from perceptinit.results.record import read_record, write_record
from perceptinit.running.runner import run_recipe

FROM_TINY = 'checkpoint.stages_from=["tiny"]'
CHANGES = [
    {"status": "failed"},
    {"environment": {"packages": {}}},
    {"plugins": [{"name": "lab", "distribution": "lab", "version": "2"}]},
    {"hashes": {}},
]
HALF_WAY = """
[[arm]]
name = "half-way"
init = [{ like = "init" }, { use = "interpolate", share = 0.5 }]
"""


def run(out, *overrides, name="tiny", arm="pi", text=TINY):
    text = text.replace('name = "tiny"', f'name = "{name}"', 1)
    recipe = read_recipe(text, source="tiny.toml", overrides=overrides)
    [record] = run_recipe(recipe, arms=[arm], seeds=[0], out=out, device="cpu")
    return record


def run_longer(out):
    """Run an experiment with a longer pretraining and the stage 1 of `tiny`."""
    return run(out, FROM_TINY, "pretrain.epochs=3", name="longer")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Run `tiny` once; return its folder and its record."""
    folder = tmp_path_factory.mktemp("finished")
    return folder, run(folder)


@pytest.fixture
def tiny(finished, tmp_path):
    """Copy the run of `tiny` into the folder of the test and return its record."""
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    return finished[1]


def test_a_longer_pretraining_reuses_stage_one_with_the_same_result(tiny, tmp_path):
    taken = run_longer(tmp_path)
    again = run(tmp_path / "again", "pretrain.epochs=3", name="longer")
    assert taken["hashes"] == again["hashes"]
    assert taken["fingerprint"] == again["fingerprint"]
    assert taken["init"] == [tiny["init"][0] | {"taken_from": "tiny/pi/seed0"}]
    assert "init.0" not in taken["wall_seconds"]  # this run spent no time on the stage


@pytest.mark.slow
def test_two_processes_reuse_the_same_stage(tiny, tmp_path):
    records = together(run_longer, tmp_path)
    assert {r["init"][0]["taken_from"] for r in records} == {"tiny/pi/seed0"}


def test_an_arm_with_an_additional_stage_runs_only_that_stage(tiny, tmp_path):
    taken = run(tmp_path, FROM_TINY, name="ways", arm="half-way", text=TINY + HALF_WAY)
    again = run(tmp_path / "again", name="ways", arm="half-way", text=TINY + HALF_WAY)
    assert taken["hashes"] == again["hashes"]
    assert [row.get("taken_from") for row in taken["init"]] == ["tiny/pi/seed0", None]


@pytest.mark.parametrize("other", ["init.epochs=3", "backbone.embed_dim=8"])
def test_a_stage_with_different_settings_is_not_reused(tiny, tmp_path, other):
    record = run(tmp_path, FROM_TINY, other, name="other")
    assert "taken_from" not in record["init"][0]
    assert "init.0" in record["wall_seconds"]


@pytest.mark.parametrize("change", CHANGES)
def test_a_stage_of_a_failed_run_or_of_other_packages_is_not_reused(tiny, tmp_path, change):
    file = tmp_path / "tiny/pi/seed0/record.json"
    write_record(file, read_record(file) | change)
    assert "taken_from" not in run_longer(tmp_path)["init"][0]


def test_a_stage_without_its_weights_is_not_reused(tiny, tmp_path):
    shutil.rmtree(tmp_path / "tiny/pi/seed0/weights")
    assert "taken_from" not in run_longer(tmp_path)["init"][0]


def test_changed_weights_of_a_reused_stage_stop_the_run(tiny, tmp_path):
    file = tmp_path / "tiny/pi/seed0/weights/init.safetensors"
    save_file({name: tensor + 1 for name, tensor in load_file(file).items()}, file)
    with pytest.raises(CheckpointError, match=r"do not match the hash in .*record.json. Repeat that run"):
        run_longer(tmp_path)


def test_a_missing_experiment_in_stages_from_is_reported(tmp_path):
    record = run(tmp_path, FROM_TINY, name="longer")
    message = f"[checkpoint] stages_from: {tmp_path / 'tiny'} not found, so no stages are copied from it"
    assert message in [warning["message"] for warning in record["warnings"]]
