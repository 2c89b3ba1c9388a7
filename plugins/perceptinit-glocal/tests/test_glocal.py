"""The linear map improves judgments that are linear in the embeddings, and passes the contract tests."""

import numpy as np
import pytest
import torch
from perceptinit_glocal.linear import Linear
from torch import nn

from perceptinit.plugin import InitializerError, RunContext
from perceptinit.testing import InitializerContract, tiny_judgments, tiny_model


class TestLinear(InitializerContract):
    component = Linear

    def options(self, tmp_path):
        return {"epochs": 2, "batch_size": 16}


def test_the_map_finds_the_dimension_that_people_use():
    rng = np.random.default_rng(0)
    z = torch.nn.functional.normalize(torch.from_numpy(rng.standard_normal((300, 4))).float(), dim=-1)
    places = torch.from_numpy(np.stack([rng.permutation(300) for _ in range(3)]))
    first = (z[places[0], 0] - z[places[1], 0]).abs()
    second = (z[places[0], 0] - z[places[2], 0]).abs()
    p_second = (second < first).float()
    linear = Linear(Linear.Config(epochs=60, lr=0.02, identity_pull=0.0, local_share=0.0), tiny_judgments())

    def agreement(matrix):
        a, f, s = (torch.nn.functional.normalize(z[p] @ matrix.T, dim=-1) for p in places)
        return (((a * s).sum(-1) > (a * f).sum(-1)) == p_second.bool()).float().mean().item()

    matrix = linear._train(z, places, p_second, RunContext(stage="init.0"))
    assert agreement(matrix) > agreement(torch.eye(4)) + 0.05


def test_only_the_projection_changes():
    tower = tiny_model().image
    judgments = tiny_judgments()
    report = Linear(Linear.Config(epochs=1), judgments).initialize(tower, RunContext(stage="init.0"))
    assert report.changed == ("projection.weight",)


def test_a_tower_without_a_linear_projection_is_refused():
    tower = tiny_model().image
    tower.projection = nn.Identity()
    with pytest.raises(InitializerError, match="needs a tower with a linear projection"):
        Linear(Linear.Config(), tiny_judgments()).initialize(tower, RunContext())
