"""Runs in Weights & Biases, online or offline."""

import uuid
from dataclasses import dataclass
from typing import Literal

from perceptinit.plugin import Component, hookimpl

ID_FILE = "wandb_run.txt"


@hookimpl
def perceptinit_trackers():
    return [
        Component(
            name="log/wandb",
            target="perceptinit_wandb:Wandb",
            summary="Weights & Biases, a run per arm and seed, grouped by arm",
            extra="perceptinit-wandb",
        )
    ]


class Wandb:
    """Sends scalars, the recipe, settings and pictures to a run per arm and seed, grouped by arm.

    The run's id is kept in `<run folder>/wandb_run.txt`, so that a resumed run continues it. Offline, files
    are under `<run folder>/wandb`; upload them later with `wandb sync`.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        project: str = "perceptinit"
        """Project that the runs belong to."""
        entity: str = ""
        """Team or user; empty: the default of the account."""
        mode: Literal["online", "offline"] = "online"
        """"offline" only writes files; `wandb sync` uploads them."""

    def __init__(self, config):
        self.config = config
        self._run = None
        self._recipe = ("", {})

    def describe(self, ctx, text, settings):
        """Keep the recipe for the run that starts next."""
        self._recipe = (text, settings)

    def start(self, ctx):
        import wandb

        self.close()
        if ctx.folder is None:
            return
        text, settings = self._recipe
        self._run = wandb.init(
            project=self.config.project,
            entity=self.config.entity or None,
            mode=self.config.mode,
            id=_run_id(ctx.folder),
            resume="allow",
            dir=str(ctx.folder),
            name=f"{ctx.arm}-seed{ctx.seed}",
            group=ctx.arm or None,
            config={**settings, "arm": ctx.arm, "seed": ctx.seed, "recipe": text},
            settings=wandb.Settings(silent=True, console="off"),
        )
        self._run.define_metric("*", step_metric="samples_seen")

    def log(self, event):
        from perceptinit.plugin import scalars

        if self._run is None:
            return
        found = scalars(event)
        if found is not None:
            if found.axis != "samples_seen":  # a stage without pairs has a separate axis
                self._run.define_metric(f"{event.stage}/*", step_metric=found.axis)
            self._run.log({**found.values, found.axis: found.at})
        elif event.kind == "warning":
            self._run.alert(title=f"{event.arm}, seed {event.seed}", text=event.message)
        elif event.kind == "run-end":
            self._run.summary["status"] = event.message

    def log_image(self, name, path, samples_seen):
        import wandb

        if self._run is not None:
            self._run.log({name: wandb.Image(str(path)), "samples_seen": samples_seen})

    def close(self):
        if self._run is not None:
            self._run.finish()
            self._run = None


def _run_id(folder):
    """Return the id of the folder's run, a new one the first time."""
    file = folder / ID_FILE
    if not file.is_file():
        file.write_text(uuid.uuid4().hex[:12])
    return file.read_text().strip()
