"""Log runs to MLflow, on a server or in local files."""

import os
from dataclasses import dataclass
from pathlib import Path

from perceptinit.plugin import Component, hookimpl

ID_FILE = "mlflow_run.txt"
MAX_PARAM_LENGTH = 500  # limit of servers before MLflow 2.8; later versions accept 6000
STATUS = {"finished": "FINISHED", "interrupted": "KILLED"}


@hookimpl
def perceptinit_trackers():
    return [
        Component(
            name="log/mlflow",
            target="perceptinit_mlflow:MLflow",
            summary="MLflow runs, one per arm and seed, on a server or in local files",
            extra="perceptinit-mlflow",
        )
    ]


class MLflow:
    """Log metrics, settings, the recipe and images to one MLflow run per arm and seed.

    The run id is saved in `<run folder>/mlflow_run.txt`, so that a resumed run continues it. The x axis of
    metrics is samples seen, or steps for stages without pairs.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        uri: str = ""
        """Tracking server or database, such as `http://host:5000` or `sqlite:///mlflow.db`. If empty, files
        are written to `mlruns` next to the arm folders (MLflow's file store, in maintenance mode)."""
        experiment: str = "perceptinit"
        """Name of the MLflow experiment, which is created if it does not exist."""

    def __init__(self, config):
        self.config = config
        self._client = None
        self._run_id = ""
        self._recipe = ("", {})

    def describe(self, ctx, text, settings):
        """Store the recipe, which `start` logs."""
        self._recipe = (text, settings)

    def start(self, ctx):
        self.close()
        if ctx.folder is None:
            return
        self._client = self._connect(ctx.folder)
        file = ctx.folder / ID_FILE
        if file.is_file():
            self._run_id = file.read_text().strip()
            self._client.update_run(self._run_id, status="RUNNING")
            return
        self._run_id = self._new_run(ctx)
        file.write_text(self._run_id)

    def _connect(self, folder):
        from mlflow.tracking import MlflowClient

        if self.config.uri:
            return MlflowClient(tracking_uri=self.config.uri)
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # required since MLflow 3.17
        root = folder.parents[1] if len(folder.parents) > 1 else folder
        return MlflowClient(tracking_uri=Path(root / "mlruns").absolute().as_uri())

    def _new_run(self, ctx):
        from perceptinit.companion import flat

        text, settings = self._recipe
        name = f"{ctx.arm}-seed{ctx.seed}"
        tags = {"arm": ctx.arm, "seed": str(ctx.seed), "mlflow.runName": name}
        run_id = self._client.create_run(self._experiment(), tags=tags).info.run_id
        for key, value in flat(settings).items():
            self._client.log_param(run_id, key, str(value)[:MAX_PARAM_LENGTH])
        self._client.log_text(run_id, text, "recipe.toml")
        self._client.log_dict(run_id, settings, "settings.json")
        return run_id

    def _experiment(self):
        found = self._client.get_experiment_by_name(self.config.experiment)
        return found.experiment_id if found else self._client.create_experiment(self.config.experiment)

    def log(self, event):
        if self._client is None:
            return
        self._log_scalars(event)
        if event.kind == "warning":
            self._client.set_tag(self._run_id, "warning", event.message)
        elif event.kind == "run-end":
            self._client.set_terminated(self._run_id, STATUS.get(event.message, "FAILED"))

    def _log_scalars(self, event):
        from mlflow.entities import Metric

        from perceptinit.plugin import scalars

        found = scalars(event)
        if found is not None:
            milliseconds = int(1000 * event.time)
            metrics = [
                Metric(_allowed(name), value, milliseconds, found.at) for name, value in found.values.items()
            ]
            self._client.log_batch(self._run_id, metrics=metrics)

    def log_image(self, name, path, samples_seen):
        if self._client is not None:
            self._client.log_artifact(self._run_id, str(path), "images")

    def close(self):
        self._client, self._run_id = None, ""


def _allowed(name):
    """Replace the characters of a metric name that MLflow does not allow."""
    return "".join(c if c.isalnum() or c in "_-. /" else "_" for c in name)
