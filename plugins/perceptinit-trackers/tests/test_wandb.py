"""Tracker contract, the content of offline files, and resumed runs."""

import time

import pytest
from perceptinit_trackers.wandb import ID_FILE, Wandb
from short_runs import SCORES, end, log_run, step

from perceptinit.testing import TrackerContract


@pytest.fixture(autouse=True)
def _no_service_of_others(monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")


class TestContract(TrackerContract):
    component = Wandb

    def options(self, tmp_path):
        return {"mode": "offline"}


def run(folder, events):
    log_run(Wandb(Wandb.Config(mode="offline")), folder, events)


def offline_files(folder):
    return sorted((folder / "wandb").glob("offline-run-*/*.wandb"))


def test_the_offline_file_contains_scalars_and_settings(tmp_path):
    run(tmp_path, [step(10, 3.0), SCORES, end("finished")])
    (file,) = offline_files(tmp_path)
    names = (b"pretrain/loss", b"samples_seen", b"top1/set", b"pi-seed3", b"tiny", b"finished")
    deadline = time.monotonic() + 60  # a separate wandb process writes asynchronously
    while not all(name in file.read_bytes() for name in names) and time.monotonic() < deadline:
        time.sleep(0.1)
    written = file.read_bytes()  # the file contains names and settings as plain text
    for name in names:
        assert name in written


def test_a_resumed_run_has_the_same_id(tmp_path):
    run(tmp_path, [])
    first = (tmp_path / ID_FILE).read_text()
    run(tmp_path, [])
    assert (tmp_path / ID_FILE).read_text() == first
    assert all(file.stem == f"run-{first}" for file in offline_files(tmp_path))
    assert len(offline_files(tmp_path)) >= 1
