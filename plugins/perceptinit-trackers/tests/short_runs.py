"""A short run for a tracker, and what it logs."""

import numpy as np
from PIL import Image

from perceptinit.plugin import Event, RunContext, Score

SCORE = Score(name="top1/set", value=0.5, stderr=0.1, num_examples=4)
SCORES = Event(kind="scores", samples_seen=20, scores=(SCORE,))
SETTINGS = {"pretrain": {"lr": 0.1}, "init": [{"use": "a"}]}


def step(samples, loss):
    return Event(
        kind="step",
        arm="pi",
        stage="pretrain",
        step=samples // 10,
        samples_seen=samples,
        metrics={"loss": loss},
    )


def end(message):
    return Event(kind="run-end", message=message)


def write_image(folder):
    path = folder / "judgments.png"
    Image.fromarray(np.zeros((4, 6, 3), dtype=np.uint8)).save(path)
    return path


def log_run(tracker, folder, events, image=None):
    """Send the events of a run of arm pi with seed 3 to a tracker, then an image, as perceptinit does."""
    ctx = RunContext(arm="pi", seed=3, folder=folder)
    tracker.describe(ctx, 'name = "tiny"', SETTINGS)
    tracker.start(ctx)
    for event in events:
        tracker.log(event)
    if image:
        tracker.log_image(image.stem, image, 20)
    tracker.close()
