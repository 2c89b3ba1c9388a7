"""LSUV (Mishkin and Matas 2016), on a small vision transformer."""

import numpy as np
import pytest
import torch
from helpers.vision_towers import context, tower
from torch import nn

from perceptinit.errors import InitializerError
from perceptinit.initializers.lsuv import Lsuv
from perceptinit.types import Stimuli, Triplets


def judgments(num_images=12, size=32):
    rng = np.random.default_rng(0)
    images = list(rng.integers(0, 256, (num_images, size, size, 3), dtype=np.uint8))
    stimuli = Stimuli(tuple(f"image-{i}" for i in range(num_images)), images)
    rows = np.arange(num_images).reshape(-1, 3).T

    class Given:
        def load(self, split):
            return Triplets.build(stimuli, *rows, np.ones(len(rows[0])))

    return Given()


def test_lsuv_gives_outputs_with_a_standard_deviation_of_1_to_every_layer():
    model, given, spreads = tower(), judgments(), {}
    report = Lsuv(Lsuv.Config(), given).initialize(model, context())
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.register_forward_hook(lambda m, i, o, name=name: spreads.__setitem__(name, o.std().item()))
    images = torch.from_numpy(np.stack(given.load("train").stimuli.images)).permute(0, 3, 1, 2)
    with torch.no_grad():
        model.eval().encode_image(images)
    assert len(spreads) == report.metrics["layers_scaled"] == 1 + 2 * 4 + 1
    assert list(spreads.values()) == pytest.approx([1.0] * 10, rel=1e-3)


def test_lsuv_weights_are_orthonormal_up_to_their_scale():
    model = tower()
    Lsuv(Lsuv.Config(), judgments()).initialize(model, context())
    weight = model.trunk.blocks[0].attn.proj.weight
    gram = weight @ weight.T
    assert torch.allclose(gram, gram[0, 0] * torch.eye(32), atol=1e-4)


def test_lsuv_without_orthogonal_weights_changes_only_the_scale():
    model = tower()
    before = model.projection.weight.detach().clone()
    Lsuv(Lsuv.Config(orthogonal=False), judgments()).initialize(model, context())
    ratio = model.projection.weight / before
    assert torch.allclose(ratio, ratio[0, 0].expand_as(ratio), rtol=1e-4)
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize(("weight", "std"), [(0.0, "0"), (torch.nan, "nan")])
def test_a_layer_whose_outputs_have_no_spread_is_an_error_with_its_name(weight, std):
    model = tower()
    nn.init.constant_(model.trunk.blocks[1].mlp.fc1.weight, weight)
    message = rf"outputs of trunk\.blocks\.1\.mlp\.fc1 over 12 inputs have standard deviation {std}, expected"
    with pytest.raises(InitializerError, match=message):
        Lsuv(Lsuv.Config(orthogonal=False), judgments()).initialize(model, context())


def test_lsuv_keeps_running_statistics():
    norm = nn.BatchNorm1d(8)
    norm.running_mean.fill_(0.5)
    model = tower()
    model.projection = nn.Sequential(model.projection, norm)
    Lsuv(Lsuv.Config(), judgments()).initialize(model, context())
    assert norm.running_mean.tolist() == [0.5] * 8
