"""The optimizer of a stage: parameter groups, names, resume, and errors before a run starts."""

import copy
from functools import cache

import pytest
import torch
from helpers.weights import same
from torch import nn

from perceptinit.compute.optim import find_optimizer_problems, make_optimizer
from perceptinit.errors import UsageError
from perceptinit.pairs.synthetic import SyntheticPairs
from perceptinit.pretrainers.clip import Clip
from perceptinit.recipe.reading import load_recipe
from perceptinit.testing import tiny_model
from perceptinit.types import RunContext


class Sophia(torch.optim.SGD):
    """An optimizer from another package."""


def clip(optimizer, **keys):
    config = Clip.Config(epochs=2, batch_size=16, warmup_steps=1, lr=1e-3, optimizer=optimizer, **keys)
    return Clip(config, SyntheticPairs(SyntheticPairs.Config(num_pairs=64)))


@cache
def train(optimizer):
    """Return the model at the end, and the model and the state after step 3."""
    model, pretrainer = tiny_model(), clip(optimizer)
    for result in pretrainer.steps(model, RunContext(num_workers=0)):
        if result.step == 3:
            halfway = copy.deepcopy(model), copy.deepcopy(pretrainer.state_dict())
    return model, *halfway


@pytest.mark.parametrize("name", ["nadamuon", "muon", "lion", "adopt", "sgd", "test_optimizers:Sophia"])
def test_training_with_an_optimizer_resumes_exactly(name):
    whole, model, state = train(name)
    again = clip(name)
    again.load_state_dict(state)
    list(again.steps(model, RunContext(num_workers=0)))
    assert same(model, whole)
    assert not same(model, train(None)[0])


def test_adamw_is_the_default_optimizer():
    assert same(train("adamw")[0], train(None)[0])


def test_muon_updates_matrices_only_and_does_not_decay_gains():
    module = nn.ModuleDict(
        {"map": nn.Linear(4, 4), "words": nn.Embedding(3, 4), "patches": nn.Conv2d(3, 4, 2)}
    )
    groups = make_optimizer([module], "muon", lr=1e-3, weight_decay=0.1).param_groups
    by_weight = {id(p): group for group in groups for p in group["params"]}
    assert not by_weight[id(module["map"].weight)].get("use_fallback")
    for fallback in (module["map"].bias, module["words"].weight, module["patches"].weight):
        assert by_weight[id(fallback)]["use_fallback"]
    assert by_weight[id(module["map"].bias)]["weight_decay"] == 0.0
    assert by_weight[id(module["words"].weight)]["weight_decay"] == 0.1


@pytest.mark.parametrize("name", ["nadamoun", "adahessian", "fusedadam", "nowhere:At"])
def test_an_invalid_optimizer_is_refused_with_its_name(name):
    with pytest.raises(UsageError, match=f'optimizer = "{name}"'):
        make_optimizer([nn.Linear(2, 2)], name, lr=1e-3, weight_decay=0.1)
    assert list(clip(name).preflight())


def test_sharded_parameters_require_adamw():
    assert "sharding" in next(find_optimizer_problems("muon", "fsdp"))
    assert list(find_optimizer_problems(None, "fsdp")) == []


def test_the_module_of_an_optimizer_is_not_imported_by_the_preflight(tmp_path, monkeypatch):
    (tmp_path / "evil.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert list(find_optimizer_problems("evil:Adam")) == []
    assert list(find_optimizer_problems("nowhere.at.all:Adam")) == [
        'optimizer = "nowhere.at.all:Adam": module nowhere.at.all not found. Install its package'
    ]


def test_names_in_no_decay_are_exempt_from_weight_decay():
    model = nn.ModuleDict({"linear": nn.Linear(2, 3)})
    model.register_parameter("positional_embedding", nn.Parameter(torch.ones(2, 3)))
    exempt, decayed = ({"linear.bias", "positional_embedding"}, {"linear.weight"})
    groups = make_optimizer([model], lr=1e-3, weight_decay=0.1, no_decay=["positional"]).param_groups
    names = {id(p): name for name, p in model.named_parameters()}
    found = {group["weight_decay"]: {names[id(p)] for p in group["params"]} for group in groups}
    assert found == {0.0: exempt, 0.1: decayed}
    with pytest.raises(UsageError, match="no_decay: no trained parameter has 'pos_embed' in its name"):
        make_optimizer([model], lr=1e-3, weight_decay=0.1, no_decay=["pos_embed"])


def test_position_embeddings_of_the_published_recipe_do_not_decay():
    recipe = load_recipe("pi_clip_yfcc_published")
    with torch.device("meta"):
        model = recipe.backbone.build().build()
    config = recipe.pretrain.config
    groups = make_optimizer(
        [model], lr=1.0, weight_decay=0.1, no_decay=config.no_decay, fused=False
    ).param_groups
    free = {id(p) for group in groups if group["weight_decay"] == 0 for p in group["params"]}
    matrices = {name for name, p in model.named_parameters() if p.ndim > 1 and id(p) in free}
    assert matrices == {"image.trunk.positional_embedding", "text.transformer.positional_embedding"}
    for arm in recipe.arms:
        assert all(spec.config.no_decay == ("positional_embedding",) for spec in arm.init)
