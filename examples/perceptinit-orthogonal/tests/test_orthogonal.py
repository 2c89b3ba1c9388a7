"""The example plug-in passes the initializer contract tests, and its matrices are orthogonal."""

import torch
from perceptinit_orthogonal import Orthogonal

from perceptinit.plugin import RunContext
from perceptinit.testing import InitializerContract, tiny_model


class TestOrthogonal(InitializerContract):
    component = Orthogonal


def test_all_singular_values_equal_the_gain():
    tower = tiny_model().image
    Orthogonal(Orthogonal.Config(gain=2.0)).initialize(tower, RunContext())
    values = torch.linalg.svdvals(tower.projection.weight.detach())
    torch.testing.assert_close(values, torch.full_like(values, 2.0))
