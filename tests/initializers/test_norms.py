"""Running statistics of batch norm in stage 1: learned ones are kept, and initial ones are trained."""

from dataclasses import replace

import pytest
import timm
import torch
from helpers.stage_one import Heard, Killed, TinyTower, hinge_initializer
from helpers.tiny_recipes import RECIPE
from helpers.vision_towers import context, tower
from torch import nn

from perceptinit.files.checkpoints import load_state, save_state
from perceptinit.initializers.norms import NormLayers
from perceptinit.initializers.pretrain import Pretrain
from perceptinit.pairs.synthetic import SyntheticPairs
from perceptinit.pretrainers.supervised import Supervised
from perceptinit.recipe.reading import read_recipe
from perceptinit.running.runner import run_recipe

FROZEN = {"norm_layers": 1, "norm_layers_frozen": 1}
TRAINED = {"norm_layers": 1, "norm_layers_frozen": 0}


def with_norm(norm):
    model = TinyTower()
    model.trunk.append(norm)
    return model, norm


def learned(cls=nn.BatchNorm1d):
    norm = cls(16)
    norm.running_mean.fill_(0.1)
    norm.running_var.fill_(0.5)
    return norm


def train(model, ctx=None, **options):
    return hinge_initializer(**options).initialize(model, ctx or Heard().ctx)


def about_norms(report):
    return {name: value for name, value in report.metrics.items() if name.startswith("norm_layers")}


@pytest.mark.parametrize("cls", [nn.BatchNorm1d, nn.SyncBatchNorm])  # the latter cannot train on a CPU
def test_learned_statistics_are_kept_and_gains_are_trained(cls):
    model, norm = with_norm(learned(cls))
    report = train(model)
    assert norm.running_mean.tolist() == learned().running_mean.tolist()
    assert norm.running_var.tolist() == learned().running_var.tolist()
    assert norm.weight.ne(1).any()
    assert norm.training  # restored
    assert about_norms(report) == FROZEN


def test_initial_statistics_are_trained():
    model, norm = with_norm(nn.BatchNorm1d(16))
    report = train(model)
    assert norm.running_mean.ne(0).all()
    assert about_norms(report) == TRAINED


@pytest.mark.parametrize(("norm", "expected"), [("train", TRAINED), ("frozen", FROZEN)])
def test_the_key_overrides_what_the_statistics_show(norm, expected):
    for layer in (learned(), nn.BatchNorm1d(16)):
        before = layer.running_mean.clone()
        report = train(with_norm(layer)[0], norm=norm)
        assert about_norms(report) == expected
        assert torch.equal(layer.running_mean, before) == (norm == "frozen")


def test_statistics_that_an_earlier_stage_learned_are_kept():
    model, norm = with_norm(nn.BatchNorm1d(16))
    assert about_norms(train(model)) == TRAINED
    after_first = norm.running_mean.clone()
    assert about_norms(train(model, replace(Heard().ctx, stage="init.1"))) == FROZEN
    assert torch.equal(norm.running_mean, after_first)


def test_a_group_norm_has_no_statistics_to_freeze():
    frozen, trained = (train(with_norm(nn.GroupNorm(4, 16))[0], norm=norm) for norm in ("frozen", "train"))
    assert about_norms(frozen) == {}
    assert frozen.sha256_after == trained.sha256_after


def test_dropout_inside_a_frozen_layer_of_timm_stays_active():
    norm = timm.layers.BatchNormAct2d(4, drop_layer=nn.Dropout)
    norm.running_var.fill_(2)
    norms = NormLayers.of(norm, None)
    norm.train()
    norms.freeze()
    assert norms.layers == (norm,)
    assert not norm.training
    assert norm.drop.training


def resumed_after(step, folder, norm, **changes):
    """Return the report of a stage that was interrupted after a step and resumed with its weights."""
    model, _ = with_norm(norm)

    def offer(number, state):
        if number == step:
            save_state(folder / "state", {"stage": state(), "weights": model.state_dict()})
            raise Killed

    with pytest.raises(Killed):
        train(model, replace(Heard().ctx, offer=offer))
    kept = load_state(folder / "state")
    kept["stage"]["training"] |= changes
    model, _ = with_norm(nn.BatchNorm1d(16))
    model.load_state_dict(kept["weights"])
    return train(model, replace(Heard().ctx, resumed=kept["stage"]))


@pytest.mark.parametrize("make", [nn.BatchNorm1d, lambda size: learned()])
def test_a_resumed_stage_keeps_its_choice_and_ends_with_equal_weights(tmp_path, make):
    report = resumed_after(4, tmp_path, make(16))
    uninterrupted = train(with_norm(make(16))[0])
    assert replace(report, seconds=0) == replace(uninterrupted, seconds=0)


def test_a_state_without_the_choice_trains_all_layers_to_the_end(tmp_path):
    saved = resumed_after(1, tmp_path, learned(), are_norms_frozen=False)
    assert about_norms(saved) == TRAINED

    def without_choice(folder):
        state = load_state(folder)
        del state["stage"]["training"]["are_norms_frozen"]
        return state

    state = without_choice(tmp_path / "state")
    model, _ = with_norm(learned())
    model.load_state_dict(state["weights"])
    report = train(model, replace(Heard().ctx, resumed=state["stage"]))
    assert report.sha256_after == saved.sha256_after


def test_posthoc_keeps_the_statistics_of_pretraining(tmp_path):
    start, _, end = RECIPE.replace('plugins = ["local.py"]\n', "").partition("[backbone.model_args]")
    init = end[end.index("[[init]]") : end.index("[pretrain]")]
    recipe = start.replace("vit_tiny_patch16_224", "test_resnet") + end[end.index("[[init]]") :]
    recipe = recipe.replace('[[track]]\nuse = "local/spy"\n', "")
    recipe += init.replace("[[init]]", "[[arm.posthoc]]").replace("[init.", "[arm.posthoc.")
    [record] = run_recipe(
        read_recipe(recipe, source="tiny.toml"), arms=["pi"], seeds=[0], out=tmp_path, device="cpu"
    )
    first, last = (row["metrics"] for row in record["init"])
    assert first["norm_layers"] == last["norm_layers"] == last["norm_layers_frozen"] > 0
    assert first["norm_layers_frozen"] == 0


def test_pretraining_as_a_stage_trains_all_statistics_like_the_pretraining_of_a_recipe():
    norm = nn.BatchNorm1d(8)
    norm.running_mean.fill_(5.0)
    model = tower()
    model.projection = nn.Sequential(model.projection, norm)
    config = Supervised.Config(epochs=1, batch_size=16, warmup_steps=1)
    pretrainer = Supervised(config, SyntheticPairs(SyntheticPairs.Config(num_pairs=32, seed=3)))
    Pretrain(Pretrain.Config(), pretrainer).initialize(model, context())
    assert norm.running_mean.ne(5.0).all()
