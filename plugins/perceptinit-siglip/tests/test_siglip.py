"""SigLIP loss values, and contract tests of the pretrainer."""

import math

import pytest
import torch
from perceptinit_siglip.sigmoid import Sigmoid, SigmoidLoss

from perceptinit.plugin import RunContext
from perceptinit.testing import PretrainerContract, tiny_model, tiny_pairs


class TestSigmoid(PretrainerContract):
    component = Sigmoid

    def options(self, tmp_path):
        return {"epochs": 2, "batch_size": 16, "warmup_steps": 1}


def test_the_loss_of_two_orthogonal_pairs_has_the_value_computed_by_hand():
    unit = torch.eye(2)
    loss = SigmoidLoss(-1.0).whole(3 * unit, unit, torch.tensor(math.log(2.0)))
    # each image: its text has logit 2 - 1 = 1, the other 0 - 1 = -1, with label "no match"
    wanted = 2 * math.log(1 + math.exp(-1))
    assert loss.item() == pytest.approx(wanted)


def test_the_first_step_starts_at_the_published_temperature_and_bias():
    config = Sigmoid.Config(epochs=1, batch_size=32, warmup_steps=0, lr=1e-9)
    steps = Sigmoid(config, tiny_pairs()).steps(tiny_model(), RunContext(stage="pretrain"))
    metrics = next(steps).metrics
    steps.close()
    assert float(metrics["logit_scale"]) == pytest.approx(10.0)
    assert float(metrics["logit_bias"]) == pytest.approx(-10.0)


def test_micro_batches_have_the_weights_of_whole_batches():
    ends = []
    for micro_batch in (0, 5):
        # float64, because AdamW makes steps from the rounding noise of gradients that are zero
        model = tiny_model().double()
        options = {"epochs": 1, "batch_size": 16, "warmup_steps": 1, "micro_batch": micro_batch}
        list(Sigmoid(Sigmoid.Config(**options), tiny_pairs()).steps(model, RunContext(stage="x")))
        ends.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    torch.testing.assert_close(*ends, rtol=0, atol=1e-8)


def test_a_resumed_run_keeps_its_temperature_and_bias():
    config = Sigmoid.Config(epochs=2, batch_size=32, warmup_steps=1, lr=0.01)
    model, first = tiny_model(), Sigmoid(config, tiny_pairs())
    steps = first.steps(model, RunContext(stage="pretrain"))
    next(steps)
    state, scale = first.state_dict(), model.logit_scale.item()
    steps.close()
    second = Sigmoid(config, tiny_pairs())
    second.load_state_dict(state)
    steps = second.steps(model, RunContext(stage="pretrain"))
    next(steps)
    steps.close()
    assert state["loss"]["logit_bias"].item() != -10.0
    assert second.state_dict()["num_steps"] == 2
    # one step of at most lr from the resumed value, not from log(10)
    assert abs(model.logit_scale.item() - scale) < 0.011
