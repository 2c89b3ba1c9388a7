"""A short run for a tracker, and what it logs."""

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


def log_run(tracker, folder, events):
    """Send the events of a run of arm pi with seed 3 to a tracker, as perceptinit does."""
    ctx = RunContext(arm="pi", seed=3, folder=folder)
    tracker.describe(ctx, 'name = "tiny"', SETTINGS)
    tracker.start(ctx)
    for event in events:
        tracker.log(event)
    tracker.close()
