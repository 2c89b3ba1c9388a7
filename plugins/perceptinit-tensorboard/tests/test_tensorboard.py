"""Tracker contract, the content of event files, and resumed runs."""

import numpy as np
from perceptinit_tensorboard import TensorBoard
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from perceptinit.plugin import Event, RunContext, Score
from perceptinit.testing import TrackerContract


class TestContract(TrackerContract):
    component = TensorBoard


def step(samples, loss):
    return Event(
        kind="step", arm="pi", stage="pretrain", step=samples // 10, samples_seen=samples,
        metrics={"loss": loss},
    )  # fmt: skip


def run(folder, events, image=None):
    tracker = TensorBoard(TensorBoard.Config())
    ctx = RunContext(arm="pi", folder=folder)
    tracker.describe(ctx, 'name = "tiny"', {"pretrain": {"lr": 0.1}})
    tracker.start(ctx)
    for event in events:
        tracker.log(event)
    if image:
        tracker.log_image(image.stem, image, 20)
    tracker.close()


def read(folder):
    accumulator = EventAccumulator(str(folder / "tensorboard/training"))
    accumulator.Reload()
    return accumulator


def test_scalars_scores_recipe_and_images_are_there(tmp_path):
    image = tmp_path / "judgments.png"
    Image.fromarray(np.zeros((4, 6, 3), dtype=np.uint8)).save(image)
    score = Score(name="top1/set", value=0.5, stderr=0.1, num_examples=4)
    run(
        tmp_path,
        [step(10, 3.0), step(20, 2.0), Event(kind="scores", samples_seen=20, scores=(score,))],
        image,
    )
    found = read(tmp_path)
    assert [(e.step, e.value) for e in found.Scalars("pretrain/loss")] == [(10, 3.0), (20, 2.0)]
    assert [(e.step, e.value) for e in found.Scalars("top1/set")] == [(20, 0.5)]
    assert found.Images("judgments")[0].width == 6
    text = found.Tensors("recipe/text_summary")[0].tensor_proto.string_val[0]
    assert b'name = "tiny"' in text


def test_a_resumed_run_replaces_repeated_steps(tmp_path):
    run(tmp_path, [step(10, 3.0), step(20, 2.0), step(30, 1.5)])
    run(tmp_path, [step(20, 2.1), step(30, 1.0)])
    found = [(e.step, round(e.value, 3)) for e in read(tmp_path).Scalars("pretrain/loss")]
    assert found == [(10, 3.0), (20, 2.1), (30, 1.0)]
