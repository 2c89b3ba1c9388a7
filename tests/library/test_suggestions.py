"""Settings that `apply_perceptual_init` chooses by the kind of the weights, unless the caller gives them."""

import math
import re

import numpy as np
import open_clip
import pytest
import timm
import torch
from helpers.command_line import ROOT
from helpers.stage_one import Colours, hinge_initializer
from torch import nn

from perceptinit import apply_perceptual_init
from perceptinit.initializers.batches import LEARNED_STEPS, RANDOM_STEPS, suggest_settings
from perceptinit.initializers.norms import are_learned
from perceptinit.library.applying import ELSEWHERE

FEW = np.stack([np.random.default_rng(i).permutation(60)[:3] for i in range(5000)])
MANY = np.arange(3 * 500).reshape(-1, 3)
NAMES = ("test_vit", "test_resnet", "test_convnext", "test_efficientnet", "resnet10t", "vit_tiny_patch16_224")


def clip():
    config = open_clip.get_model_config("ViT-B-32")
    config["vision_cfg"] |= {"width": 64, "layers": 1, "head_width": 32}
    config["text_cfg"] |= {"layers": 1, "width": 32, "heads": 2}
    return open_clip.CLIP(**{**config, "embed_dim": 32})


@pytest.mark.parametrize(
    "make", [*(lambda n=n: timm.create_model(n) for n in NAMES), clip], ids=[*NAMES, "CLIP"]
)
def test_weights_are_learned_once_a_gain_or_a_statistic_changes(make):
    model = make()
    assert not are_learned(model.state_dict())
    norm = next(m for m in model.modules() if isinstance(m, nn.LayerNorm | nn.BatchNorm2d))
    norm.weight.data[1] += 0.1
    assert are_learned(model.state_dict())
    if isinstance(norm, nn.BatchNorm2d):
        norm.weight.data[1] -= 0.1
        norm.running_mean[0] = 0.1
        assert are_learned(model.state_dict())


def test_without_norm_layers_weights_are_learned_once_a_bias_is_beyond_every_initialization():
    model = nn.Sequential(nn.Conv2d(3, 16, 5), nn.ReLU(), nn.Flatten(), nn.Linear(16, 8))
    assert not are_learned(model.state_dict())
    nn.init.ones_(model[0].bias)  # as in the gates of gMLP
    assert not are_learned(model.state_dict())
    model[0].bias.data.uniform_(-0.1, 0.1)  # within 1 / sqrt(75) = 0.115
    assert not are_learned(model.state_dict())
    model[0].bias.data[3] = -0.2
    assert are_learned(model.state_dict())


def test_few_images_have_a_fixed_number_of_steps_and_the_best_evaluation_is_kept():
    learned, random = (suggest_settings(FEW, kind, False, {}, 32) for kind in (True, False))
    assert learned.pop("epochs") == math.ceil(LEARNED_STEPS / 2)
    assert random.pop("epochs") == math.ceil(RANDOM_STEPS / 2)
    assert learned.pop("eval_every") == 2
    assert random.pop("eval_every") == 10
    common = {"batch_size": "auto", "patience": 4}
    assert learned == {"lr": 3e-4, "loss": "logistic", "weighting": "votes", "flip": True, **common}
    assert random == {"lr": 1e-3, "loss": "logistic", "temperature": 0.3, "weighting": "agreement", **common}


def test_many_images_have_the_number_of_epochs_of_a_recipe():
    assert suggest_settings(MANY, True, False, {}, 32)["epochs"] == 32


def test_short_stages_of_random_weights_take_the_hinge_loss():
    num_batches = math.ceil(len(FEW) / 100)
    short, long = (
        suggest_settings(FEW, False, False, {"epochs": epochs, "batch_size": 100}, epochs)
        for epochs in ((RANDOM_STEPS - 1) // num_batches, math.ceil(RANDOM_STEPS / num_batches))
    )
    assert (short["loss"], long["loss"]) == ("hinge", "logistic")


def test_given_settings_and_those_that_depend_on_them_are_not_chosen():
    assert suggest_settings(FEW, False, False, {"lr": 1.0, "epochs": 3}, 3) == {
        "loss": "hinge", "margin": 0.3, "weighting": "agreement", "eval_every": 1, "patience": 4,
    }  # fmt: skip
    given = {"lr": 1.0, "loss": "info-nce", "flip": False, "batch_size": 8, "eval_every": 0}
    assert suggest_settings(FEW, True, False, given, 32) == {}


@pytest.mark.parametrize("was_learned", [True, False])
def test_a_given_margin_or_temperature_decides_the_loss(was_learned):
    def suggested(**given):
        return suggest_settings(
            FEW, was_learned, False, {"lr": 1, "epochs": 1, "eval_every": 0, "flip": False} | given, 1
        )

    assert suggested(margin=0.2) == {"loss": "hinge", "weighting": "agreement"}
    assert suggested(temperature=0.2) == {
        "loss": "logistic",
        "weighting": "votes" if was_learned else "agreement",
    }
    margin = 0.1 if was_learned else 0.3
    assert suggested(loss="hinge") == {"margin": margin, "weighting": "agreement"}


def test_images_are_not_flipped_if_a_frozen_part_could_encode_them_once():
    stage = hinge_initializer()
    model = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
    model[1].weight.data[0] = 2
    assert stage.suggest(model, {})[0]["flip"]
    assert "flip" not in stage.suggest(model, {"last_blocks": 2})[0]
    model[0].requires_grad_(False)
    assert "flip" not in stage.suggest(model, {})[0]


def test_a_recipe_keeps_its_defaults():
    stage = hinge_initializer()
    settings, kind = stage.suggest(nn.Linear(4, 2), {})
    assert kind == "random"
    assert settings["margin"] == 0.3
    assert "loss" not in settings
    assert stage.config.margin == 0.05


def call(model, capsys, **options):
    given = {"judgments": ("synthetic", {"num_train": 64, "num_val": 30}), "cache": False, **options}
    report = apply_perceptual_init(model, image_size=32, **given)
    return report, " ".join(capsys.readouterr().err.split())


def test_the_call_prints_which_settings_it_took(capsys):
    torch.manual_seed(0)
    report, printed = call(timm.create_model("test_resnet"), capsys, epochs=2, batch_size=32)
    settings = "lr=0.001, loss='hinge', margin=0.3, weighting='agreement', eval_every=1, patience=4"
    assert f"triplet: settings for random weights: {settings}. Pass other values to change them" in printed
    assert "triplet: 4 steps encode 384 images, about" in printed
    assert report.metrics["kept_epoch"] in (1, 2)
    assert ELSEWHERE not in printed
    model = timm.create_model("test_resnet")
    next(m for m in model.modules() if isinstance(m, nn.BatchNorm2d)).running_mean += 0.1
    report, printed = call(model, capsys, epochs=2, batch_size=32)
    settings = "lr=0.0003, loss='logistic', weighting='votes', flip=True, eval_every=1, patience=4"
    assert f"settings for learned weights: {settings}. Pass other" in printed
    assert report.metrics["norm_layers_frozen"] == report.metrics["norm_layers"] > 0
    assert ELSEWHERE in printed


def test_the_stated_loss_is_that_of_the_published_experiment():
    (points,) = re.findall(r"by (\d+\.\d) points", ELSEWHERE)
    (page,) = re.findall(r"docs/results/[a-z-]+\.md", ELSEWHERE)
    assert f"people - imagenet -{points} points [" in (ROOT / page).read_text("utf-8")


def test_the_call_names_the_cheaper_batch_before_the_first_step(capsys, monkeypatch):
    monkeypatch.setattr("perceptinit.initializers.batches.MANY_IMAGES", 1)
    judgments = Colours(num_images=24, num_triplets=512).triplets
    printed = call(timm.create_model("test_resnet"), capsys, judgments=judgments, epochs=1, batch_size=200)[1]
    advice = 'batch_size = "auto"'
    assert "triplet: each step encodes" in printed
    assert printed.index(advice) < printed.index("steps encode")


def test_a_call_with_all_settings_prints_no_chosen_settings(capsys):
    options = {
        "lr": 1e-3,
        "loss": "hinge",
        "margin": 0.1,
        "weighting": "votes",
        "epochs": 2,
        "batch_size": 32,
        "eval_every": 1,
    }
    assert "settings for" not in call(timm.create_model("test_resnet"), capsys, **options)[1]


def test_one_epoch_of_the_shallow_vit_does_not_collapse(capsys):
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", img_size=32, patch_size=8, depth=2)
    report, _ = call(model, capsys, epochs=1, judgments=("synthetic", {"num_train": 500, "num_val": 100}))
    assert report.metrics["spread_after"] > 0.2 * report.metrics["spread_before"]
