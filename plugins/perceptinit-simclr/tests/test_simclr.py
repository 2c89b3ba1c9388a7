"""SimCLR loss values, and contract tests of the pretrainer."""

import math

import pytest
import torch
from perceptinit_simclr.simclr import SimCLR, TwoViews

from perceptinit.plugin import RunContext
from perceptinit.testing import PretrainerContract, tiny_model, tiny_pairs

OPTIONS = {"epochs": 2, "batch_size": 16, "warmup_steps": 1, "hidden_dim": 16, "output_dim": 8}


class TestSimCLR(PretrainerContract):
    component = SimCLR

    def options(self, tmp_path):
        return OPTIONS


def train(**options):
    pretrainer = SimCLR(SimCLR.Config(**{**OPTIONS, **options}), tiny_pairs())
    model = pretrainer.model(tiny_model(), 0)
    results = list(pretrainer.steps(model, RunContext(stage="pretrain")))
    return pretrainer, model, results


def test_the_loss_of_two_samples_has_the_value_computed_by_hand():
    objective = TwoViews(SimCLR.Config(temperature=0.5), 2)
    objective.projection = torch.nn.Identity()
    views = torch.tensor([[2.0, 0.0], [3.0, 0.0], [0.0, 1.0], [0.0, 5.0]])  # lengths do not matter
    # the positive view has cosine 1, the two negatives 0: -log e^2 / (e^2 + 2)
    wanted = math.log(1 + 2 * math.exp(-2))
    loss = objective.loss(None, image=views)
    assert loss.item() == pytest.approx(wanted, abs=1e-6)


def test_only_the_image_tower_is_trained_and_the_projection_is_saved():
    pretrainer, model, results = train()
    assert {name.partition(".")[0] for name in model.state_dict()} == {"image"}
    state = pretrainer.state_dict()["loss"]
    assert any(name.endswith("running_mean") for name in state)
    assert results[0].metrics.keys() == {"loss", "lr", "grad_norm"}


def test_the_initial_projection_depends_on_the_seed_only():
    def first(seed):
        torch.manual_seed(torch.seed())
        pretrainer = SimCLR(SimCLR.Config(**OPTIONS), tiny_pairs())
        steps = pretrainer.steps(pretrainer.model(tiny_model(), 0), RunContext(seed=seed, stage="x"))
        next(steps)
        steps.close()
        return pretrainer.state_dict()["loss"]["projection.layers.0.weight"]

    assert torch.equal(first(0), first(0))
    assert not torch.equal(first(0), first(1))


def test_the_loss_decreases():
    _, _, results = train(epochs=10, lr=3e-3, jitter=(0.0, 0.0, 0.0, 0.0), blur_share=0.0)
    losses = [float(result.metrics["loss"]) for result in results]
    assert sum(losses[-4:]) < sum(losses[:4]) - 0.5


def test_micro_batches_have_the_weights_of_whole_batches():
    ends = []
    for micro_batch in (0, 6):  # of 32 views
        # eps: without it, AdamW amplifies rounding noise where the true gradient is 0
        _, model, _ = train(epochs=1, micro_batch=micro_batch, eps=1e-3)
        ends.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    torch.testing.assert_close(*ends, rtol=1e-3, atol=1e-5)
