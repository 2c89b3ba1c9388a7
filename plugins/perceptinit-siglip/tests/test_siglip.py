"""SigLIP's loss, and the pretrainer held to perceptinit's contract."""

import math

import pytest
import torch
from perceptinit_siglip.sigmoid import Sigmoid, sigmoid_loss

from perceptinit.testing import PretrainerContract, tiny_model, tiny_pairs
from perceptinit.types import RunContext


class TestSigmoid(PretrainerContract):
    component = Sigmoid

    def options(self, tmp_path):
        return {"epochs": 2, "batch_size": 16, "warmup_steps": 1}


def test_the_loss_of_two_orthogonal_pairs_is_worked_out_by_hand():
    unit = torch.eye(2)
    loss = sigmoid_loss(unit, unit, torch.tensor(math.log(2.0)), torch.tensor(-1.0))
    # each image: its text has logit 2 - 1 = 1, the other 0 - 1 = -1, which is answered "no"
    wanted = 2 * math.log(1 + math.exp(-1))
    assert loss.item() == pytest.approx(wanted)


def test_the_first_step_starts_at_the_published_temperature_and_bias():
    config = Sigmoid.Config(epochs=1, batch_size=32, warmup_steps=0, lr=1e-9)
    steps = Sigmoid(config, tiny_pairs()).steps(tiny_model(), RunContext(stage="pretrain"))
    metrics = next(steps).metrics
    steps.close()
    assert float(metrics["logit_scale"]) == pytest.approx(10.0)
    assert float(metrics["logit_bias"]) == pytest.approx(-10.0)


def test_a_warm_up_that_does_not_end_is_told():
    config = Sigmoid.Config(epochs=1, batch_size=32)
    assert list(Sigmoid(config, tiny_pairs()).preflight()) == [
        "warmup_steps = 2000 in a run of 2 steps"
    ]
