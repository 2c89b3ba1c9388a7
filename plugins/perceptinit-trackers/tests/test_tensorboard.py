"""Tracker contract, the content of event files, and resumed runs."""

from perceptinit_trackers.tensorboard import TensorBoard
from short_runs import SCORES, log_run, step
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from perceptinit.testing import TrackerContract


class TestContract(TrackerContract):
    component = TensorBoard


def run(folder, events):
    log_run(TensorBoard(TensorBoard.Config()), folder, events)


def read(folder):
    accumulator = EventAccumulator(str(folder / "tensorboard/training"))
    accumulator.Reload()
    return accumulator


def test_event_files_contain_scalars_scores_and_recipe(tmp_path):
    run(tmp_path, [step(10, 3.0), step(20, 2.0), SCORES])
    found = read(tmp_path)
    assert [(e.step, e.value) for e in found.Scalars("pretrain/loss")] == [(10, 3.0), (20, 2.0)]
    assert [(e.step, e.value) for e in found.Scalars("top1/set")] == [(20, 0.5)]
    text = found.Tensors("recipe/text_summary")[0].tensor_proto.string_val[0]
    assert b'name = "tiny"' in text


def test_a_resumed_run_replaces_repeated_steps(tmp_path):
    run(tmp_path, [step(10, 3.0), step(20, 2.0), step(30, 1.5)])
    run(tmp_path, [step(20, 2.1), step(30, 1.0)])
    found = [(e.step, round(e.value, 3)) for e in read(tmp_path).Scalars("pretrain/loss")]
    assert found == [(10, 3.0), (20, 2.1), (30, 1.0)]
