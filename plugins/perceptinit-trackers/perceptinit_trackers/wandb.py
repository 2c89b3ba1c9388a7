"""Log runs to Weights & Biases, online or offline."""

import uuid
from dataclasses import dataclass
from typing import Any, Literal

import wandb

from perceptinit.plugin import Event, RunContext
from perceptinit_trackers.library_run import LibraryRun, run_name, stored_id

ID_FILE = "wandb_run.txt"


class Wandb(LibraryRun):
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

    def open(self, ctx: RunContext) -> Any:
        """Start or continue the W&B run of a folder."""
        run = wandb.init(
            project=self.config.project,
            entity=self.config.entity or None,
            mode=self.config.mode,
            id=stored_id(ctx.folder / ID_FILE, lambda: uuid.uuid4().hex[:12]),
            resume="allow",
            dir=str(ctx.folder),
            name=run_name(ctx),
            group=ctx.arm or None,
            config={**self.settings, "arm": ctx.arm, "seed": ctx.seed, "recipe": self.recipe},
            settings=wandb.Settings(silent=True, console="off"),
        )
        run.define_metric("*", step_metric="samples_seen")
        return run

    def log_scalars(self, found: Any, event: Event) -> None:
        """Log the scalars; stages without pairs have an x axis of their steps."""
        if found.axis != "samples_seen":
            self.run.define_metric(f"{event.stage}/*", step_metric=found.axis)
        self.run.log({**found.values, found.axis: found.at})

    def log_warning(self, event: Event) -> None:
        """Send an alert."""
        self.run.alert(title=f"{event.arm}, seed {event.seed}", text=event.message)

    def log_end(self, status: str) -> None:
        """Add the status to the summary of the run."""
        self.run.summary["status"] = status

    def finish(self) -> None:
        """Finish the W&B run."""
        self.run.finish()
