"""Log runs to TensorBoard: scalars over samples seen, the recipe as text, and images."""

from dataclasses import dataclass

from perceptinit.plugin import Component, hookimpl

SCORES = "training"


@hookimpl
def perceptinit_trackers():
    return [
        Component(
            name="log/tensorboard",
            target="perceptinit_tensorboard:TensorBoard",
            summary="TensorBoard event files in the run's folder",
            extra="perceptinit-tensorboard",
        )
    ]


class TensorBoard:
    """Write event files to `<run folder>/<folder>`, for `tensorboard --logdir runs`.

    The x axis is samples seen for pretraining and scores, and steps for other stages. Each stage has its own
    subfolder. A resumed run continues the files, and repeated steps replace earlier ones (`purge_step`).
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        folder: str = "tensorboard"
        """Name of the folder inside the run's folder."""

    def __init__(self, config):
        self.config = config
        self._root = None
        self._writers = {}
        self._texts = {}

    def describe(self, ctx, text, settings):
        """Store the recipe, which is written with the first scalars."""
        import json

        resolved = json.dumps(settings, indent=1)
        self._texts = {"recipe": _code(text), "settings": _code(resolved)}

    def start(self, ctx):
        self.close()
        self._root = ctx.folder / self.config.folder if ctx.folder else None

    def log(self, event):
        from perceptinit.plugin import scalars

        found = scalars(event)
        if found is not None and self._root is not None:
            stage = SCORES if found.axis == "samples_seen" else event.stage
            writer = self._writer(stage, found.at)
            for name, value in found.values.items():
                writer.add_scalar(name, value, found.at, walltime=event.time)
            writer.flush()
        elif event.kind == "warning" and self._root is not None:
            writer = self._writer(SCORES, event.samples_seen or 0)
            writer.add_text("warning", event.message, event.samples_seen or 0)

    def log_image(self, name, path, samples_seen):
        import numpy as np
        from PIL import Image

        if self._root is None:
            return
        pixels = np.asarray(Image.open(path).convert("RGB"))
        writer = self._writer(SCORES, samples_seen)
        writer.add_image(name, pixels, samples_seen, dataformats="HWC")
        writer.flush()

    def close(self):
        for writer in self._writers.values():
            writer.close()
        self._writers = {}

    def _writer(self, stage, at):
        """Return the writer of a stage; a new writer purges earlier events from step `at` on."""
        from torch.utils.tensorboard import SummaryWriter

        if stage not in self._writers:
            folder = str(self._root / stage)
            self._writers[stage] = SummaryWriter(folder, purge_step=at)
            for name, text in self._texts.items() if stage == SCORES else ():
                self._writers[stage].add_text(name, text, at)
        return self._writers[stage]


def _code(text):
    """Return text as an indented Markdown block."""
    return "\n".join(f"    {line}" for line in text.splitlines())
