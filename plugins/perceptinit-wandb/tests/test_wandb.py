"""Tracker contract, the content of offline files, and resumed runs."""

import time

import numpy as np
import pytest
from perceptinit_wandb import ID_FILE, Wandb
from PIL import Image

from perceptinit.plugin import Event, RunContext, Score
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


def run(folder, events, image=None):
    tracker = Wandb(Wandb.Config(mode="offline"))
    ctx = RunContext(arm="pi", seed=3, folder=folder)
    tracker.describe(ctx, 'name = "tiny"', {"pretrain": {"lr": 0.1}})
    tracker.start(ctx)
    for event in events:
        tracker.log(event)
    if image:
        tracker.log_image(image.stem, image, 20)
    tracker.close()


def offline_files(folder):
    return sorted((folder / "wandb").glob("offline-run-*/*.wandb"))


def test_scalars_settings_and_images_are_in_the_offline_file(tmp_path):
    image = tmp_path / "judgments.png"
    Image.fromarray(np.zeros((4, 6, 3), dtype=np.uint8)).save(image)
    score = Score(name="top1/set", value=0.5, num_examples=4)
    events = [
        Event(kind="step", arm="pi", stage="pretrain", step=1, samples_seen=10, metrics={"loss": 3.0}),
        Event(kind="scores", samples_seen=10, scores=(score,)),
        Event(kind="run-end", message="finished"),
    ]
    run(tmp_path, events, image)
    (file,) = offline_files(tmp_path)
    names = (b"pretrain/loss", b"samples_seen", b"top1/set", b"pi-seed3", b"tiny", b"finished")
    end = time.monotonic() + 60  # a separate wandb process writes asynchronously
    while not all(name in file.read_bytes() for name in names) and time.monotonic() < end:
        time.sleep(0.1)
    written = file.read_bytes()  # the file contains names and settings as plain text
    for name in names:
        assert name in written
    assert list(file.parent.rglob("judgments*.png"))


def test_a_continued_run_has_the_same_id(tmp_path):
    run(tmp_path, [])
    first = (tmp_path / ID_FILE).read_text()
    run(tmp_path, [])
    assert (tmp_path / ID_FILE).read_text() == first
    assert all(file.stem == f"run-{first}" for file in offline_files(tmp_path))
    assert len(offline_files(tmp_path)) >= 1
