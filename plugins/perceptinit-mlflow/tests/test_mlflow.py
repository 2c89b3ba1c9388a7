"""Tracker contract, the content of a local file store, and resumed runs."""

import numpy as np
import pytest
from perceptinit_mlflow import ID_FILE, MLflow
from PIL import Image

from perceptinit.plugin import Event, RunContext, Score
from perceptinit.testing import TrackerContract


class TestContract(TrackerContract):
    component = MLflow


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "recipe/pi/seed3"
    folder.mkdir(parents=True)
    return folder


def step(samples, loss):
    return Event(
        kind="step", arm="pi", stage="pretrain", step=1, samples_seen=samples,
        metrics={"loss": loss},
    )  # fmt: skip


def run(folder, events, image=None):
    tracker = MLflow(MLflow.Config())
    ctx = RunContext(arm="pi", seed=3, folder=folder)
    tracker.describe(ctx, 'name = "tiny"', {"pretrain": {"lr": 0.1}, "init": [{"use": "a"}]})
    tracker.start(ctx)
    for event in events:
        tracker.log(event)
    if image:
        tracker.log_image(image.stem, image, 20)
    tracker.close()


def client(folder):
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=(folder.parents[1] / "mlruns").as_uri())


def test_metrics_settings_recipe_and_images_are_in_the_file_store(folder, tmp_path):
    image = tmp_path / "judgments.png"
    Image.fromarray(np.zeros((4, 6, 3), dtype=np.uint8)).save(image)
    score = Score(name="top1/set", value=0.5, num_examples=4)
    events = [step(10, 3.0), step(20, 2.0), Event(kind="scores", samples_seen=20, scores=(score,))]
    run(folder, [*events, Event(kind="run-end", message="finished")], image)
    run_id = (folder / ID_FILE).read_text()
    found = client(folder).get_run(run_id)
    history = client(folder).get_metric_history(run_id, "pretrain/loss")
    assert [(m.step, m.value) for m in history] == [(10, 3.0), (20, 2.0)]
    assert found.data.metrics["top1/set"] == 0.5
    assert found.data.params["pretrain.lr"] == "0.1"
    assert found.data.params["init.0.use"] == "a"
    assert found.info.status == "FINISHED"
    artifacts = {a.path for a in client(folder).list_artifacts(run_id)}
    assert {"recipe.toml", "settings.json", "images"} <= artifacts


def test_a_resumed_run_continues_the_same_mlflow_run(folder):
    run(folder, [step(10, 3.0), Event(kind="run-end", message="interrupted")])
    run_id = (folder / ID_FILE).read_text()
    assert client(folder).get_run(run_id).info.status == "KILLED"
    run(folder, [step(20, 2.0), Event(kind="run-end", message="finished")])
    assert (folder / ID_FILE).read_text() == run_id
    history = client(folder).get_metric_history(run_id, "pretrain/loss")
    assert [m.step for m in history] == [10, 20]
    assert client(folder).get_run(run_id).info.status == "FINISHED"
