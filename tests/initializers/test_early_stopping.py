"""Early stopping of stage 1, and the weights that it keeps."""

from dataclasses import replace

import pytest
import torch
from helpers.stage_one import Colours, Heard, Killed, TinyTower, hinge_initializer

from perceptinit.configs import read_config
from perceptinit.files.checkpoints import load_state, save_state, weights_sha256
from perceptinit.initializers.held_out import HeldOut
from perceptinit.initializers.triplet_hinge import TripletHinge

STEPS_PER_EPOCH = 3


@pytest.fixture
def weights_after(monkeypatch):
    """Return a function that fixes the 2AFC after epochs 0, 1, ... and returns the weight hash after each epoch."""
    hashes = {}

    def script(*accuracies):
        measure = HeldOut.measure

        def scripted(self, epoch, step, total_steps):
            hashes[epoch] = weights_sha256(self._model)
            measure(self, epoch, step, total_steps)
            self.results[epoch] = replace(self.results[epoch], accuracy=accuracies[epoch])

        monkeypatch.setattr(HeldOut, "measure", scripted)
        return hashes

    return script


def train(ctx=None, model=None, **options):
    options = {"epochs": 6, "eval_every": 1} | options
    return hinge_initializer(**options).initialize(model or TinyTower(), ctx or Heard().ctx)


def test_training_stops_after_patience_and_keeps_the_best_weights(weights_after):
    hashes = weights_after(0.5, 0.6, 0.8, 0.7, 0.75, 0.9, 0.9)
    model = TinyTower()
    report = train(model=model, patience=2)
    m = report.metrics
    assert report.sha256_after == weights_sha256(model) == hashes[2]
    assert (m["kept_epoch"], m["epochs"], m["steps"]) == (2, 4, 4 * STEPS_PER_EPOCH)
    assert (m["2afc_val_before"], m["2afc_val_after"]) == (0.5, 0.8)
    assert (m["2afc_val_epoch_01"], m["2afc_val_epoch_03"], m["2afc_val_epoch_04"]) == (
        0.6,
        0.7,
        0.75,
    )


def test_an_equal_score_is_not_an_improvement(weights_after):
    hashes = weights_after(0.5, 0.8, 0.8, 0.8)
    report = train(patience=2)
    assert report.sha256_after == hashes[1]
    assert report.metrics["epochs"] == 3


def test_the_best_weights_are_kept_after_the_last_epoch(weights_after):
    hashes = weights_after(0.5, 0.6, 0.9, 0.7, 0.8, 0.7, 0.6)
    report = train(patience=5)
    assert report.sha256_after == hashes[2]
    assert report.metrics["epochs"] == 6


def test_the_initial_weights_are_never_kept(weights_after):
    hashes = weights_after(0.9, 0.3, 0.2)
    assert train(patience=1).sha256_after == hashes[1]


def test_without_patience_the_last_weights_are_kept(weights_after):
    hashes = weights_after(0.5, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4)
    report = train()
    assert report.sha256_after == hashes[6]
    assert "kept_epoch" not in report.metrics


# before the first evaluation, at the best, right after it, and at the last
@pytest.mark.parametrize("kill_at", [1, 6, 7, 12])
def test_a_killed_stage_stops_at_the_same_epoch_after_resuming(tmp_path, weights_after, kill_at):
    weights_after(0.5, 0.6, 0.8, 0.7, 0.75)
    uninterrupted = train(patience=2)
    model = TinyTower()

    def offer(step, state):
        if step == kill_at:
            save_state(tmp_path / "state", {"stage": state(), "weights": model.state_dict()})
            raise Killed

    with pytest.raises(Killed):
        train(replace(Heard().ctx, offer=offer), model, patience=2)
    kept = load_state(tmp_path / "state")
    model = TinyTower(seed=1)
    model.load_state_dict(kept["weights"])
    torch.rand(3)
    report = train(replace(Heard().ctx, resumed=kept["stage"]), model, patience=2)
    assert replace(report, seconds=0) == replace(uninterrupted, seconds=0)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"eval_every": 0}, "patience needs evaluations during training: set eval_every to 1"),
        ({"eval_split": "train"}, "patience needs held-out judgments"),
    ],
)
def test_patience_without_held_out_evaluations_is_refused(options, sentence):
    _, problems = read_config(TripletHinge.Config, {"patience": 2, **options}, "init")
    assert sentence in str(problems[0])


def test_the_plan_states_that_training_may_stop_early():
    stage = TripletHinge(TripletHinge.Config(patience=2), Colours())
    assert stage.plan().note == "96 judgments, may stop early"
