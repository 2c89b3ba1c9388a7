"""Runs: shared batches and weights, reproducibility, finished runs, and failures."""

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from unittest.mock import patch

import pytest
from helpers.processes import start
from helpers.resuming import ended
from helpers.tiny_recipes import LOCAL, RECIPE
from safetensors.torch import save_file

from perceptinit.__main__ import main
from perceptinit.errors import CheckpointError, DataError, RecipeError, TrainingError, UsageError
from perceptinit.files.reading import content_sha256
from perceptinit.recipe.reading import read_recipe
from perceptinit.running.checkpoints import Checkpoints
from perceptinit.running.runner import run_recipe


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "local.py").write_text(LOCAL)

    def read(*overrides):
        return read_recipe(RECIPE, source="tiny.toml", overrides=overrides, folder=tmp_path)

    return read


def spy():
    return sys.modules["perceptinit_local_local"]


def run(recipe, folder, **options):
    records = run_recipe(recipe, out=folder, device="cpu", **options)
    return {(r["arm"]["name"], r["seed"]): r for r in records}


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    folder = tmp_path_factory.mktemp("full")
    (folder / "local.py").write_text(LOCAL)
    recipe = read_recipe(RECIPE, source="tiny.toml", folder=folder)
    with patch("perceptinit.running.run.LOG_EVERY_STEPS", 2):
        return folder, run(recipe, folder / "runs")


def test_arms_share_batches_and_initial_text_weights_and_differ_in_the_image_tower(full):
    _, records = full
    random, pi = records["random", 0], records["pi", 0]
    assert random["hashes"]["built"] == pi["hashes"]["built"]
    assert random["hashes"]["init"]["text"] == pi["hashes"]["init"]["text"]
    assert random["hashes"]["pretrain_data"] == pi["hashes"]["pretrain_data"]
    assert random["hashes"]["init"]["image"] != pi["hashes"]["init"]["image"]
    assert random["hashes"]["final"]["model"] != pi["hashes"]["final"]["model"]


def test_weights_and_batches_depend_on_the_seed(full):
    _, records = full
    zero, one = records["random", 0], records["random", 1]
    assert zero["hashes"]["built"]["model"] != one["hashes"]["built"]["model"]
    assert zero["hashes"]["pretrain_data"] != one["hashes"]["pretrain_data"]


def test_a_repeated_run_has_identical_weights(full, recipe, tmp_path):
    _, records = full
    again = run(recipe(), tmp_path / "again", arms=["pi"], seeds=[0])
    assert again["pi", 0]["hashes"] == records["pi", 0]["hashes"]


def test_the_record_contains_settings_and_results(full):
    folder, records = full
    record = json.loads((folder / "runs/tiny/pi/seed0/record.json").read_text())
    assert record.pop("sha256") == content_sha256(record)
    assert record == records["pi", 0]
    assert record["status"] == "finished"
    assert record["recipe"]["text"] == RECIPE
    assert record["arm"]["resolved"]["init"][0]["margin"] == 0.05
    assert record["init"][0]["name"] == "triplet-hinge"
    assert record["init"][0]["num_changed"] > 0
    assert record["environment"]["packages"]["torch"]
    assert record["wall_seconds"]["total"] > 0
    seen = [row["samples_seen"] for row in record["scores"] if row["name"].startswith("2afc/")]
    assert seen == [0, 48, 96]
    weights = sorted(p.name for p in (folder / "runs/tiny/pi/seed0/weights").iterdir())
    assert weights == ["final.safetensors", "init.safetensors"]
    assert not list(folder.rglob("*.tmp"))
    assert not list(folder.rglob("checkpoint*"))


def test_a_record_contains_the_share_of_evaluated_images_that_stage_1_has_seen(full, recipe, tmp_path):
    def shares(records):
        return {row["extra"]["seen_in_stage_1"] for record in records.values() for row in record["scores"]}

    assert shares(full[1]) == {0.0}
    on_training_images = recipe("eval.0.split=train", "eval.0.judgments.num_train=32")
    records = run(on_training_images, tmp_path / "runs", arms=["pi"], seeds=[0])
    assert shares(records) == {1.0}


def test_events_are_stored_as_json_lines(full):
    folder, _ = full
    lines = (folder / "runs/tiny/pi/seed1/events.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    assert events[0]["kind"] == "run-start"
    assert events[-1]["kind"] == "run-end"
    assert {"stage-start", "step", "scores", "stage-end"} <= {event["kind"] for event in events}
    assert {(event["arm"], event["seed"]) for event in events} == {("pi", 1)}
    steps = [event["step"] for event in events if (event["kind"], event["stage"]) == ("step", "pretrain")]
    assert steps == [2, 3, 4, 6]  # every second step, and the ends of both epochs


def test_a_finished_run_is_not_repeated(full):
    folder, records = full
    recipe = read_recipe(RECIPE, source="tiny.toml", folder=folder)
    before = (folder / "runs/tiny/pi/seed0/record.json").stat().st_mtime_ns
    assert run(recipe, folder / "runs") == records
    assert (folder / "runs/tiny/pi/seed0/record.json").stat().st_mtime_ns == before


def test_an_edited_record_is_reported_before_the_run(full, tmp_path):
    folder, _ = full
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    file = tmp_path / "runs/tiny/pi/seed0/record.json"
    record = json.loads(file.read_text())
    record["scores"][0]["value"] += 0.01
    file.write_text(json.dumps(record))
    recipe = read_recipe(RECIPE, source="tiny.toml", folder=tmp_path)
    with pytest.raises(DataError, match=rf"{file}: edited or damaged \(.* or repeat the run with --fresh"):
        run(recipe, tmp_path / "runs")
    del record["sha256"]
    file.write_text(json.dumps(record))
    with pytest.raises(DataError, match="edited or damaged"):
        run(recipe, tmp_path / "runs")
    record["environment"]["packages"]["perceptinit"] = "0.1.0"  # records of this version have no hash
    file.write_text(json.dumps(record))
    assert run(recipe, tmp_path / "runs")["pi", 0]["scores"] == record["scores"]


@pytest.mark.parametrize("kind", ["missing", "without tensors", "of another seed"])
def test_a_finished_run_without_the_weights_of_its_record_is_refused(full, tmp_path, kind):
    folder, _ = full
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    file = tmp_path / "runs/tiny/pi/seed0/weights/final.safetensors"
    file.unlink()
    if kind == "without tensors":
        save_file({}, file)
    elif kind == "of another seed":
        shutil.copy(tmp_path / "runs/tiny/pi/seed1/weights/final.safetensors", file)
    recipe = read_recipe(RECIPE, source="tiny.toml", folder=tmp_path)
    with pytest.raises(CheckpointError, match=rf"{file}: .*To repeat the run, use --fresh"):
        run(recipe, tmp_path / "runs")


def test_weights_and_record_of_a_run_are_on_disk_before_its_checkpoints_are_removed(
    recipe, tmp_path, monkeypatch
):
    synced, removed, sync, clear = [], [], os.fsync, Checkpoints.clear

    def note(descriptor):
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        sync(descriptor)

    def check(checkpoints):
        removed.append(list(synced))
        clear(checkpoints)

    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(Checkpoints, "clear", check)
    run(recipe(), tmp_path, arms=["random"], seeds=[0])
    folder = tmp_path / "tiny/random/seed0"
    assert removed
    names = [path.name for path in removed[-1]]
    weights = max(i for i, name in enumerate(names) if name.startswith(".final.safetensors."))
    record = max(i for i, name in enumerate(names) if name.startswith(".record.json."))
    assert removed[-1].index(folder / "weights", weights) < record < removed[-1].index(folder, record)


def command_with_signal(folder, number, place, messages):
    """Run the recipe through the command line with standard error in a file, and send a signal at a place."""
    os.chdir(folder)
    sys.argv = ["perceptinit", "run", "tiny.toml", "--arm", "pi", "--seed", "0", "--device", "cpu"]
    with (
        messages.open("w") as sys.stderr,
        patch(place, lambda *_, **options: signal.raise_signal(number)),
    ):
        main()


@pytest.mark.parametrize(
    ("number", "place"),
    [
        ("SIGTERM", "perceptinit.cli.build_plugin_manager"),
        ("SIGUSR1", "perceptinit.running.sweep.Sweep._attempt"),
        ("SIGTERM", "perceptinit.cli.run.print_table"),
    ],
)
def test_a_signal_outside_of_a_run_ends_the_command_with_exit_code_75(full, tmp_path, number, place):
    shutil.copytree(full[0], tmp_path, dirs_exist_ok=True)
    (tmp_path / "tiny.toml").write_text(RECIPE)
    messages = tmp_path / "messages"
    [command] = start(command_with_signal, tmp_path, signal.Signals[number], place, messages, num=1)
    assert ended([command]) == [75]
    assert messages.read_text().splitlines()[-1] == f"stopped by {number}; rerun the command to resume"


def test_a_changed_recipe_is_refused_with_the_difference(full):
    folder, _ = full
    recipe = read_recipe(RECIPE, overrides=["pretrain.lr=0.25"], folder=folder)
    with pytest.raises(UsageError) as error:
        run(recipe, folder / "runs")
    assert "contains a run with other settings. Choose another --out" in str(error.value)
    assert "to replace it. Differences:\n" in str(error.value)
    assert '+  "lr": 0.25,' in str(error.value)


def test_an_interrupted_run_resumes_to_the_same_weights(full, recipe, tmp_path):
    _, records = full
    interrupted = recipe()
    spy().stop_at = 96
    with pytest.raises(KeyboardInterrupt):
        run(interrupted, tmp_path / "cut", arms=["pi"], seeds=[0])
    record = json.loads((tmp_path / "cut/tiny/pi/seed0/record.json").read_text())
    assert record["status"] == "interrupted"
    assert (tmp_path / "cut/tiny/pi/seed0/checkpoints/checkpoint-000004.safetensors").is_file()
    continued = run(recipe(), tmp_path / "cut", arms=["pi"], seeds=[0])["pi", 0]
    assert continued["hashes"] == records["pi", 0]["hashes"]
    assert [(r["samples_seen"], r["value"]) for r in continued["scores"]] == [
        (r["samples_seen"], r["value"]) for r in records["pi", 0]["scores"]
    ]
    assert continued["continued"] == ["96 samples"]


def test_a_run_decodes_with_the_requested_number_of_threads(recipe, tmp_path):
    asking = recipe()
    run(asking, tmp_path, arms=["random"], seeds=[0], num_workers=5)
    assert spy().began[-1].num_workers == 5


def test_the_record_of_a_failed_run_contains_the_error(recipe, tmp_path):
    with pytest.raises(TrainingError):
        run(
            recipe("pretrain.lr=1e30", "pretrain.clip_norm=1e30"),
            tmp_path / "bad",
            arms=["random"],
            seeds=[0],
        )
    record = json.loads((tmp_path / "bad/tiny/random/seed0/record.json").read_text())
    assert record["status"] == "failed"
    assert "TrainingError" in record["error"]
    assert not (tmp_path / "bad/tiny/random/seed0/weights/final.safetensors").exists()


def test_missing_data_is_reported_before_the_run(tmp_path):
    (tmp_path / "local.py").write_text(LOCAL)
    text = (
        RECIPE
        + '[[arm.init]]\nuse = "triplet-hinge"\n[arm.init.judgments]\nuse = "nights"\nroot = "no/such/folder"\n'
    )
    recipe = read_recipe(text, source="tiny.toml", folder=tmp_path)
    with pytest.raises(RecipeError) as error:
        run(recipe, tmp_path / "runs")
    assert str(error.value).startswith("tiny.toml: [arm.pi.init.judgments]: ")
    assert "no/such/folder" in str(error.value)
    assert not (tmp_path / "runs").exists()
    found = run(
        recipe, tmp_path / "runs", arms=["random"], seeds=[0]
    )  # this arm does not read the missing data
    assert found["random", 0]["status"] == "finished"


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX file modes")
def test_an_unwritable_output_folder_is_reported_before_the_run(recipe, tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("")  # a file instead of a folder, which root cannot write to either
    with pytest.raises(UsageError, match=r"cannot be written .* Choose another --out"):
        run(recipe(), blocker / "runs")


def test_a_seed_or_arm_that_is_not_in_the_recipe_is_refused(recipe, tmp_path):
    with pytest.raises(UsageError, match=r"seed 7 is not in seeds = \[0, 1\]"):
        run(recipe(), tmp_path, seeds=[7])
    with pytest.raises(UsageError, match="no arm called 'p'"):
        run(recipe(), tmp_path, arms=["p"])


def test_a_missing_device_is_refused(recipe, tmp_path):
    with pytest.raises(UsageError, match="device 'cuda:99' cannot be used"):
        run_recipe(recipe(), out=tmp_path, device="cuda:99")


def test_ctrl_c_is_reported_by_the_command_and_by_status(cli, tmp_path):
    (tmp_path / "tiny.toml").write_text(RECIPE)
    stopping = LOCAL.replace("stop_at = None", "stop_at = 48")
    (tmp_path / "local.py").write_text(stopping)
    done = cli("run", "tiny.toml", "--arm", "random", "--seed", "0", "--out", "runs")
    assert done.returncode == 130
    assert done.stderr.splitlines()[-1] == "interrupted by Ctrl-C; rerun the command to resume"
    told = cli("status", "runs/tiny").text
    assert "after 48 samples; interrupted by Ctrl-C; rerun the command to resume" in told
