"""Log runs to TensorBoard: scalars over samples seen, the recipe as text, and images."""

import json
from dataclasses import dataclass
from textwrap import indent
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from perceptinit.plugin import Event, RunContext
from perceptinit_trackers.library_run import LibraryRun

SCORES = "training"


class TensorBoard(LibraryRun):
    """Write event files to `<run folder>/<folder>`, for `tensorboard --logdir runs`.

    The x axis is samples seen for pretraining and scores, and steps for other stages. Each stage has its own
    subfolder. A resumed run continues the files, and repeated steps replace earlier ones (`purge_step`).
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        folder: str = "tensorboard"
        """Name of the folder inside the run's folder."""

    def open(self, ctx: RunContext) -> dict[str, SummaryWriter]:
        """Return the writers of the run by stage; they are created with their first event."""
        self._root = ctx.folder / self.config.folder
        return {}

    def log_scalars(self, found: Any, event: Event) -> None:
        """Write the scalars to the files of their stage."""
        stage = SCORES if found.axis == "samples_seen" else event.stage
        writer = self._writer(stage, found.at)
        for name, value in found.values.items():
            writer.add_scalar(name, value, found.at, walltime=event.time)
        writer.flush()

    def log_warning(self, event: Event) -> None:
        """Write the warning as text."""
        at = event.samples_seen or 0
        self._writer(SCORES, at).add_text("warning", event.message, at)

    def finish(self) -> None:
        """Close the files."""
        for writer in self.run.values():
            writer.close()

    def _writer(self, stage: str, at: int) -> SummaryWriter:
        """Return the writer of a stage; a new writer purges earlier events from step `at` on."""
        if stage not in self.run:
            self.run[stage] = SummaryWriter(str(self._root / stage), purge_step=at)
            if stage == SCORES:
                # four spaces make a block of Markdown code
                self.run[stage].add_text("recipe", indent(self.recipe, "    "), at)
                self.run[stage].add_text("settings", indent(json.dumps(self.settings, indent=1), "    "), at)
        return self.run[stage]
