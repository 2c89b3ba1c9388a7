"""Log runs to Weights & Biases, online or offline."""

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
            summary="Weights & Biases runs, one per arm and seed, grouped by arm",
            extra="perceptinit-wandb",
        )
    ]


class Wandb:
    """Log scalars, the recipe, settings and images to one W&B run per arm and seed, grouped by arm.

    The W&B run id is saved in `<run folder>/wandb_run.txt`, so that a resumed run continues it. Offline files
    are written to `<run folder>/wandb`, and `wandb sync` uploads them.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        project: str = "perceptinit"
        """Name of the W&B project."""
        entity: str = ""
        """Team or user name. If empty, the account's default is used."""
        mode: Literal["online", "offline"] = "online"
        """"offline" only writes files, which `wandb sync` uploads."""

    def __init__(self, config):
        self.config = config
        self._run = None
        self._recipe = ("", {})

    def describe(self, ctx, text, settings):
        """Store the recipe, which `start` logs."""
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
            if found.axis != "samples_seen":  # stages without pairs have a separate axis
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
    """Return the W&B run id of a run folder; create it on the first call."""
    file = folder / ID_FILE
    if not file.is_file():
        file.write_text(uuid.uuid4().hex[:12])
    return file.read_text().strip()
