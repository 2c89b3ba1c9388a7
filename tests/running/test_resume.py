"""Runs that are killed, stopped or moved to another number of processes resume to the same result."""

import errno
import json
import signal
from pathlib import Path

import numpy as np
import pytest
from helpers.processes import start, together
from helpers.resuming import ended, record_of, run, run_with_signal
from safetensors.torch import save_file

from perceptinit.compute import distributed
from perceptinit.errors import EXIT_CODE, CheckpointError
from perceptinit.evaluators.two_afc import TwoAFC
from perceptinit.files.checkpoints import load_weights
from perceptinit.recipe.reading import read_recipe
from perceptinit.recipe.settings import CheckpointConfig
from perceptinit.running.checkpoints import Checkpoints


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Run the recipe in one process without interruption."""
    folder = tmp_path_factory.mktemp("alone")
    run(folder)
    return folder


def final_weights(folder):
    return load_weights(folder / "tiny/pi/seed0/weights/final.safetensors")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    together(run, folder)
    return folder


@pytest.mark.slow
def test_two_processes_killed_repeatedly_resume_to_the_same_result(uninterrupted, tmp_path):
    for step in (1, 4, 8):  # before the first checkpoint, between two, and right before one
        codes = ended(start(run_with_signal, tmp_path, signal.SIGKILL, step))
        assert codes == [-signal.SIGKILL] * 2
    together(run, tmp_path)
    ours, theirs = record_of(tmp_path), record_of(uninterrupted)
    assert ours["hashes"] == theirs["hashes"]
    assert [s["value"] for s in ours["scores"]] == [s["value"] for s in theirs["scores"]]
    first, second, third = ours["continued"]
    assert first == "0 samples"
    # a thread writes, so the kill may precede the newest checkpoint, but a checkpoint is never incomplete
    assert second in {f"{n} samples" for n in (0, 16, 32, 48, 64)}
    assert third in {f"{n} samples" for n in (48, 64, 80, 96, 112, 128)}
    assert len(ours["init"]) == 1


@pytest.mark.slow
def test_a_run_moves_from_two_processes_to_one_and_back(uninterrupted, tmp_path):
    assert ended(start(run_with_signal, tmp_path, signal.SIGTERM, 4)) == [EXIT_CODE] * 2
    assert ended(start(run_with_signal, tmp_path, signal.SIGTERM, 7, num=1)) == [EXIT_CODE]
    together(run, tmp_path)
    ours, theirs = record_of(tmp_path)["hashes"], record_of(uninterrupted)["hashes"]
    assert ours["pretrain_data"] == theirs["pretrain_data"]
    weights = final_weights(uninterrupted)
    for name, weight in final_weights(tmp_path).items():
        np.testing.assert_allclose(weight, weights[name], atol=2e-4, err_msg=name)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_saves_the_step_and_ends_with_exit_code_75(alone, tmp_path, number):
    [code] = ended(start(run_with_signal, tmp_path, number, 5, num=1))
    assert code == 75
    record = record_of(tmp_path)
    name = signal.Signals(number).name
    assert record["status"] == "interrupted"
    assert record["error"] == f"Stopped: stopped by {name} after step 5, saved; rerun the command to resume"
    run(tmp_path)
    assert record_of(tmp_path)["hashes"] == record_of(alone)["hashes"]
    assert "80 samples" in record_of(tmp_path)["continued"]


def test_a_signal_to_one_of_two_processes_stops_both_after_the_same_step(tmp_path):
    processes = start(run_with_signal, tmp_path, signal.SIGUSR1, 3, (1,))
    assert ended(processes) == [75, 75]
    assert "stopped by SIGUSR1 after step 3, saved" in record_of(tmp_path)["error"]


def stage_one_of(folder):
    [row] = record_of(folder)["init"]
    return {name: value for name, value in row.items() if name != "seconds"}


@pytest.mark.slow
def test_two_processes_killed_in_stage_one_resume_to_the_same_result(uninterrupted, tmp_path):
    for step in (1, 2, 4):  # of 4 steps in 2 epochs, with a checkpoint after every second step
        arguments = (tmp_path, signal.SIGKILL, step, (0, 1), "init")
        assert ended(start(run_with_signal, *arguments)) == [-signal.SIGKILL] * 2
    together(run, tmp_path)
    assert record_of(tmp_path)["hashes"] == record_of(uninterrupted)["hashes"]
    assert stage_one_of(tmp_path) == stage_one_of(uninterrupted)
    assert "step 2 of init.0" in record_of(tmp_path)["continued"]


@pytest.mark.slow
def test_a_signal_in_stage_one_saves_the_step_in_all_processes(uninterrupted, tmp_path):
    arguments = (tmp_path, signal.SIGUSR1, 3, (1,), "init")
    assert ended(start(run_with_signal, *arguments)) == [75, 75]
    assert "stopped by SIGUSR1 after step 3, saved" in record_of(tmp_path)["error"]
    together(run, tmp_path)
    assert record_of(tmp_path)["hashes"] == record_of(uninterrupted)["hashes"]
    assert "step 3 of init.0" in record_of(tmp_path)["continued"]


def test_a_signal_before_the_first_step_of_stage_one_stops_immediately(tmp_path):
    arguments = (tmp_path, signal.SIGTERM, 1, (0,), "init")
    assert ended(start(run_with_signal, *arguments, num=1)) == [75]
    assert record_of(tmp_path)["error"] == "Stopped: stopped by SIGTERM; rerun the command to resume"
    assert run(tmp_path)["status"] == "finished"


def run_with_a_failing_evaluation(folder):
    def fail(self, model, ctx):
        raise OSError("the disk with the images went away")

    TwoAFC.evaluate = fail
    return run(folder)


def test_stage_one_is_kept_if_the_evaluation_after_it_fails(alone, tmp_path):
    assert ended(start(run_with_a_failing_evaluation, tmp_path, num=1)) == [1]
    run(tmp_path)
    record = record_of(tmp_path)
    assert record["hashes"] == record_of(alone)["hashes"]
    events = (tmp_path / "tiny/pi/seed0/events.jsonl").read_text().splitlines()
    stages = [row["stage"] for row in map(json.loads, events) if row["kind"] == "stage-start"]
    assert stages == ["init.0", "pretrain"]  # the second attempt started with the evaluation


def state(value):
    return {"weights": np_tensor(value), "step": value}


def np_tensor(value):
    import torch

    return torch.full((1000,), float(value))


def test_the_newest_checkpoints_are_kept_and_a_damaged_one_is_skipped(tmp_path):
    said = []
    checkpoints = Checkpoints(tmp_path, CheckpointConfig(keep=2), said.append)
    for step in range(5):
        checkpoints.save(state(step))
    checkpoints.wait()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["checkpoint-000004.safetensors", "checkpoint-000005.safetensors"]
    newest = tmp_path / names[1]
    newest.write_bytes(newest.read_bytes()[:2000])
    found = checkpoints.newest()
    assert found["step"] == 3
    assert float(found["weights"][0]) == 3.0
    [message] = said
    assert message.startswith(f"{newest}: not a readable safetensors file")
    assert message.endswith("; using the previous checkpoint")
    (tmp_path / names[0]).write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"all 2 checkpoints are damaged\. Use --fresh"):
        checkpoints.newest()


def test_a_checkpoint_contains_the_state_at_the_time_of_saving(tmp_path):
    checkpoints = Checkpoints(tmp_path, CheckpointConfig(), print)
    values = state(1)
    checkpoints.save(values)
    values["weights"].fill_(9.0)  # training continues while the thread writes
    checkpoints.wait()
    assert float(checkpoints.newest()["weights"][0]) == 1.0


# each place is a byte of the length, the JSON header or the tensors
@pytest.mark.parametrize("place", [3, 9, 40, 100, 300, 900, -4000, -1])
def test_a_checkpoint_with_a_flipped_bit_is_replaced_by_the_previous_one(tmp_path, place):
    said = []
    checkpoints = Checkpoints(tmp_path, CheckpointConfig(), said.append)
    for step in (1, 2):
        checkpoints.save(state(step) | {"names": ["a", "b"] * 50})
    checkpoints.wait()
    newest = tmp_path / "checkpoint-000002.safetensors"
    data = bytearray(newest.read_bytes())
    data[place] ^= 1
    newest.write_bytes(data)
    assert checkpoints.newest()["step"] == 1
    [message] = said
    assert message.startswith((f"{newest}: not ", f"{newest}: the state does not match its checksum"))
    assert message.endswith("; using the previous checkpoint")


def test_a_checkpoint_without_a_checksum_is_refused(tmp_path):
    path = tmp_path / "checkpoint-000001.safetensors"
    save_file({"t0": np_tensor(1)}, path, metadata={"tree": '{"tensor": "t0"}'})
    with pytest.raises(CheckpointError, match=r"all 1 checkpoints are damaged\. Use --fresh"):
        Checkpoints(tmp_path, CheckpointConfig(), print).newest()


def test_foreign_files_among_the_checkpoints_are_ignored_and_kept(alone, tmp_path):
    folder = tmp_path / "tiny/pi/seed0/checkpoints"
    (folder / ".backup").mkdir(parents=True)
    theirs = [folder / name for name in ("notes.txt", ".nfs00000001", "checkpoint-best.safetensors")]
    for file in theirs:
        file.write_text("mine")
    for _ in range(2):  # the second time, the run is already finished
        record = run(tmp_path)
        assert record["status"] == "finished"
        assert record["hashes"] == record_of(alone)["hashes"]
    assert sorted(folder.iterdir()) == sorted([*theirs, folder / ".backup"])
    events = (tmp_path / "tiny/pi/seed0/events.jsonl").read_text()
    assert f"{folder}: cannot be removed (Directory not empty)" in events


def test_a_checkpoint_that_cannot_be_removed_is_reported_once(tmp_path, monkeypatch):
    stuck = tmp_path / "checkpoint-000001.safetensors"
    unlink = Path.unlink

    def refuse(path, missing_ok=False):
        if path == stuck:
            raise PermissionError(errno.EPERM, "Operation not permitted")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    said = []
    checkpoints = Checkpoints(tmp_path, CheckpointConfig(keep=1), said.append)
    for step in range(4):
        checkpoints.save(state(step))
    checkpoints.clear()
    assert said == [
        f"{stuck}: could not be removed (Operation not permitted)",
        f"{tmp_path}: cannot be removed (Directory not empty)",
    ]


def test_leftover_files_of_kills_are_removed_from_a_finished_run(tmp_path):
    run(tmp_path)
    folder = tmp_path / "tiny/pi/seed0"
    before = sorted(folder.rglob("*"))
    left = [
        folder / "checkpoints/checkpoint-000007.safetensors",
        folder / "checkpoints/.checkpoint-000008.safetensors.71-0a1b2c3d.tmp",
        folder / "weights/.final.safetensors.71-0a1b2c3d.tmp",
        folder / "weights/.tmpBvZE8r",
        folder / ".record.json.71-0a1b2c3d.tmp",
    ]
    (folder / "checkpoints").mkdir()
    for path in left:
        path.write_bytes(b"half")
    run(tmp_path)
    assert sorted(folder.rglob("*")) == before


def test_an_incomplete_checkpoint_of_a_killed_process_is_ignored(tmp_path):
    (tmp_path / ".checkpoint-000009.safetensors.71-0a1b2c3d.tmp").write_bytes(b"half")
    (tmp_path / ".tmpBvZE8r").write_bytes(b"half")  # a temporary file of safetensors
    checkpoints = Checkpoints(tmp_path, CheckpointConfig(), print)
    assert checkpoints.newest() is None
    checkpoints.save(state(1))
    checkpoints.wait()
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-000001.safetensors"]


def test_checkpoints_are_due_by_steps_or_by_minutes(tmp_path, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    by_steps = Checkpoints(tmp_path, CheckpointConfig(every_steps=3, every_minutes=0), print)
    assert [step for step in range(1, 10) if by_steps.is_due(step)] == [3, 6, 9]
    by_time = Checkpoints(tmp_path, CheckpointConfig(every_minutes=2), print)
    assert not by_time.is_due(1)
    now[0] += 120
    assert by_time.is_due(2)


@pytest.mark.parametrize(("asked_by_first", "saves"), [(None, 0), ("save", 1)])
def test_only_the_first_process_decides_when_a_checkpoint_is_due(
    tmp_path, monkeypatch, asked_by_first, saves
):
    monkeypatch.setattr(distributed, "is_first", lambda: False)
    monkeypatch.setattr(distributed, "exchange", lambda wish: [asked_by_first, wish])
    saved = []
    every_step = Checkpoints(tmp_path, CheckpointConfig(every_steps=1), print)
    every_step.after_step(1, lambda: saved.append(1))
    assert len(saved) == saves


def test_the_checkpoint_interval_does_not_change_the_fingerprint():
    recipe_file = Path(__file__).parents[2] / "recipes/quickstart.toml"
    text = recipe_file.read_text()
    ours = read_recipe(text, overrides=["checkpoint.every_minutes=1"])
    theirs = read_recipe(text)
    assert ours.checkpoint.every_minutes == 1
    assert ours.fingerprint(ours.arms[0]) == theirs.fingerprint(theirs.arms[0])
