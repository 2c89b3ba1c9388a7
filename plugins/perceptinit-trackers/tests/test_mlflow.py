"""Tracker contract, the content of a local file store, and resumed runs."""

import pytest
from mlflow.tracking import MlflowClient
from perceptinit_trackers.mlflow import ID_FILE, MLflow
from short_runs import SCORES, end, log_run, step

from perceptinit.testing import TrackerContract


class TestContract(TrackerContract):
    component = MLflow


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "recipe/pi/seed3"
    folder.mkdir(parents=True)
    return folder


def run(folder, events):
    log_run(MLflow(MLflow.Config()), folder, events)


def client(folder):
    return MlflowClient(tracking_uri=(folder.parents[1] / "mlruns").as_uri())


def test_the_file_store_contains_metrics_settings_and_recipe(folder):
    run(folder, [step(10, 3.0), step(20, 2.0), SCORES, end("finished")])
    run_id = (folder / ID_FILE).read_text()
    found = client(folder).get_run(run_id)
    history = client(folder).get_metric_history(run_id, "pretrain/loss")
    assert [(m.step, m.value) for m in history] == [(10, 3.0), (20, 2.0)]
    assert found.data.metrics["top1/set"] == 0.5
    assert found.data.metrics["top1/set_stderr"] == 0.1
    assert found.data.params["pretrain.lr"] == "0.1"
    assert found.data.params["init.0.use"] == "a"
    assert found.data.tags["mlflow.runName"] == "pi-seed3"
    assert found.info.status == "FINISHED"
    artifacts = {a.path for a in client(folder).list_artifacts(run_id)}
    assert {"recipe.toml", "settings.json"} <= artifacts


def test_a_resumed_run_continues_the_same_run(folder):
    run(folder, [step(10, 3.0), end("interrupted")])
    run_id = (folder / ID_FILE).read_text()
    assert client(folder).get_run(run_id).info.status == "KILLED"
    run(folder, [step(20, 2.0)])
    assert client(folder).get_run(run_id).info.status == "RUNNING"
    run(folder, [step(30, 1.0), end("finished")])
    assert (folder / ID_FILE).read_text() == run_id
    history = client(folder).get_metric_history(run_id, "pretrain/loss")
    assert [m.step for m in history] == [10, 20, 30]
    assert client(folder).get_run(run_id).info.status == "FINISHED"
