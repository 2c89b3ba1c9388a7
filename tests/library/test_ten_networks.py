"""The one-line call never ends in an error with its defaults, on ten small networks with random weights."""

import numpy as np
import pytest
import timm
import torch

from perceptinit import apply_perceptual_init
from perceptinit.types import Stimuli, Triplets

SIZE = 32
NETWORKS = (
    "test_vit",
    "test_vit2",
    "vit_tiny_patch16_224",
    "test_resnet",
    "test_byobnet",
    "test_convnext",
    "test_convnext2",
    "test_efficientnet",
    "test_efficientnet_ln",
    "mobilenetv3_small_050",
)


def judgments_of_red(num_images=24, num_triplets=200):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 100, (num_images, SIZE, SIZE, 3), dtype=np.uint8)
    offsets = rng.integers(0, [40, 150, 150], (num_images, 3))
    images += offsets[:, None, None].astype(np.uint8)
    red = offsets[:, 0]
    anchor, first, second = np.array([rng.permutation(num_images)[:3] for _ in range(num_triplets)]).T
    chose_second = np.abs(red[second] - red[anchor]) < np.abs(red[first] - red[anchor])
    stimuli = Stimuli(tuple(map(str, range(num_images))), list(images))
    return Triplets.build(stimuli, anchor, first, second, chose_second.astype(float))


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_the_call_without_settings_ends_without_an_error_and_improves(name, capsys):
    torch.manual_seed(0)
    is_vit = name.startswith("vit_")
    sizes = {"img_size": SIZE, "patch_size": 8, "depth": 2} if is_vit else {}
    model = timm.create_model(name, **sizes)
    report = apply_perceptual_init(
        model, judgments=judgments_of_red(), image_size=None if is_vit else SIZE, cache=False
    )
    printed = " ".join(capsys.readouterr().err.split())
    assert (
        "triplet: settings for random weights: lr=0.001, loss='logistic', temperature=0.3, weighting='agreement', batch_size='auto'"
        in printed
    )
    assert "Pass other values to change them" in printed
    assert report.metrics["2afc_val_after"] > report.metrics["2afc_val_before"]
