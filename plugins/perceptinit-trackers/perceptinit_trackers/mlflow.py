"""Log runs to MLflow, on a server or in local files."""

import os
import re
from dataclasses import dataclass
from typing import Any

from mlflow.entities import Metric
from mlflow.tracking import MlflowClient

from perceptinit.companion import flat
from perceptinit.plugin import Event, RunContext
from perceptinit_trackers.library_run import LibraryRun, run_name, stored_id

ID_FILE = "mlflow_run.txt"
MAX_PARAM_LENGTH = 500  # limit of servers before MLflow 2.8; later versions accept 6000
STATUS = {"finished": "FINISHED", "interrupted": "KILLED"}


class MLflow(LibraryRun):
    """Log metrics, settings, the recipe and images to one MLflow run per arm and seed.

    The run id is saved in `<run folder>/mlflow_run.txt`, so that a resumed run continues it. The x axis of
    metrics is samples seen, or steps for stages without pairs. The standard error of a score is the metric
    `NAME_stderr`.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        uri: str = ""
        """Tracking server or database, such as `http://host:5000` or `sqlite:///mlflow.db`. If empty, files
        are written to `mlruns` next to the arm folders (MLflow's file store, in maintenance mode)."""
        experiment: str = "perceptinit"
        """Name of the MLflow experiment, which is created if it does not exist."""

    def open(self, ctx: RunContext) -> str:
        """Start or continue the MLflow run of a folder, and return its id."""
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # required since MLflow 3.17
        local = ctx.folder.absolute().parents[1] / "mlruns"
        self._client = MlflowClient(tracking_uri=self.config.uri or local.as_uri())
        run_id = stored_id(ctx.folder / ID_FILE, lambda: self._new_run(ctx))
        self._client.update_run(run_id, status="RUNNING")
        return run_id

    def _new_run(self, ctx: RunContext) -> str:
        tags = {"arm": ctx.arm, "seed": str(ctx.seed), "mlflow.runName": run_name(ctx)}
        run_id = self._client.create_run(self._experiment(), tags=tags).info.run_id
        for key, value in flat(self.settings).items():
            self._client.log_param(run_id, key, str(value)[:MAX_PARAM_LENGTH])
        self._client.log_text(run_id, self.recipe, "recipe.toml")
        self._client.log_dict(run_id, self.settings, "settings.json")
        return run_id

    def _experiment(self) -> str:
        found = self._client.get_experiment_by_name(self.config.experiment)
        return found.experiment_id if found else self._client.create_experiment(self.config.experiment)

    def log_scalars(self, found: Any, event: Event) -> None:
        """Log the scalars in one request."""
        milliseconds = int(1000 * event.time)
        metrics = [
            Metric(_allowed(name), value, milliseconds, found.at) for name, value in found.values.items()
        ]
        self._client.log_batch(self.run, metrics=metrics)

    def log_warning(self, event: Event) -> None:
        """Set the tag `warning`."""
        self._client.set_tag(self.run, "warning", event.message)

    def log_end(self, status: str) -> None:
        """Set the status of the run."""
        self._client.set_terminated(self.run, STATUS.get(status, "FAILED"))


def _allowed(name: str) -> str:
    """Replace the characters of a metric name that MLflow does not allow.

    "NAME/stderr" becomes "NAME_stderr", because the file store cannot have a file NAME and a folder NAME.
    """
    return re.sub(r"[^\w\-. /]", "_", name.replace("/stderr", "_stderr"))
