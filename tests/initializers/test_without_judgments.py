"""Initializers without human judgments: equations, resume and controls."""

import copy
import math
import os

import numpy as np
import pytest
import torch
from helpers.weights import same
from safetensors.torch import load_file, save_file
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from perceptinit.analysis.compare import compare
from perceptinit.backbones.timm_backbone import Timm
from perceptinit.components.building import read_spec
from perceptinit.components.plugin_manager import build_plugin_manager
from perceptinit.errors import InitializerError
from perceptinit.initializers.covariance import Covariance, filter_covariance, square_root
from perceptinit.initializers.pretrain import Distil, Pretrain
from perceptinit.initializers.procedural import Procedural, draw_mask, draw_symbols, encode_tokens
from perceptinit.initializers.random import TimmScheme
from perceptinit.pairs.fractals import FINER, GREY, Fractals, draw_points, draw_system, render
from perceptinit.pairs.synthetic import SyntheticPairs
from perceptinit.pretrainers.clip import Clip
from perceptinit.pretrainers.distil import Matching
from perceptinit.pretrainers.supervised import Supervised
from perceptinit.recipe.reading import read_recipe
from perceptinit.results.runs import load_runs
from perceptinit.running.runner import run_recipe
from perceptinit.seeding import named_torch_seed
from perceptinit.testing import tiny_model
from perceptinit.types import RunContext
from perceptinit.verdict.verdict import verdicts


class StopError(Exception):
    pass


def pairs(num=64):
    return SyntheticPairs(SyntheticPairs.Config(num_pairs=num, seed=3))


def supervised(epochs=2):
    config = Supervised.Config(epochs=epochs, batch_size=16, warmup_steps=1)
    return Pretrain(Pretrain.Config(), Supervised(config, pairs()))


def clip():
    config = Clip.Config(epochs=2, batch_size=16, warmup_steps=1)
    return Pretrain(Pretrain.Config(), Clip(config, pairs()))


def procedural(**keys):
    return Procedural(
        Procedural.Config(**{"steps": 6, "warmup_steps": 1, "batch_size": 8, "kinds": 4} | keys)
    )


def distil(**keys):
    config = Distil.Config(epochs=2, batch_size=16, warmup_steps=1, teacher="random", teacher_seed=5, **keys)
    return Distil(config, pairs())


def new_model(seed):
    return tiny_model(seed)


def start(initializer, model=None, **keys):
    """Return the model after the initializer."""
    model = model or tiny_model()
    context = RunContext(seed=1, stage="init.0", num_workers=0, new_model=new_model, **keys)
    initializer.initialize(model.image, context)
    return model


def interrupted(make, step):
    """Return the model of a start that was interrupted after `step` and resumed by a new object."""
    saved, model = {}, tiny_model()

    def offer(number, state):
        if number == step:
            saved.update(copy.deepcopy({"model": model.state_dict(), "stage": dict(state())}))
            raise StopError

    with pytest.raises(StopError):
        start(make(), model, offer=offer)
    resumed = tiny_model(9)
    resumed.load_state_dict(saved["model"])
    return start(make(), resumed, resumed=saved["stage"])


@pytest.mark.parametrize("make", [supervised, clip, procedural, distil])
def test_an_interrupted_start_resumes_to_the_same_weights(make):
    assert same(interrupted(make, 3), start(make()))


@pytest.mark.parametrize("make", [supervised, clip, procedural, distil])
def test_only_the_image_tower_changes_and_its_flags_are_restored(make):
    model, before = tiny_model().eval(), tiny_model()
    frozen = model.image.projection.weight.requires_grad_(False)
    start(make(), model)
    assert same(model.text, before.text)
    assert torch.equal(frozen, before.image.projection.weight)
    assert not same(model.image, before.image)
    assert not model.image.training
    assert not frozen.requires_grad
    assert model.image.trunk.blocks[0].attn.qkv.weight.requires_grad


def test_a_pretrainer_with_a_text_tower_requires_a_backbone():
    with pytest.raises(InitializerError, match="this pretrainer needs a text tower"):
        clip().initialize(tiny_model().image, RunContext(num_workers=0))


def test_problems_of_a_nested_pretrainer_are_reported_with_their_path():
    registry = build_plugin_manager().registry
    table = {
        "use": "pretrain",
        "pretrain": {"use": "supervised", "pairs": {"use": "fractals", "num_clases": 5}},
    }
    spec, problems = read_spec(registry, "initializer", table, "init")
    assert spec is None
    assert "init.pretrain.pairs.num_clases" in str(problems[0])
    table["pretrain"]["pairs"] = {"use": "fractals", "num_classes": 5}
    spec, problems = read_spec(registry, "initializer", table, "init")
    assert problems == []
    assert spec.table()["pretrain"]["pairs"]["num_classes"] == 5
    spec, problems = read_spec(registry, "initializer", {"use": "pretrain"}, "init")
    assert "needs a table [init.pretrain]" in str(problems[0])


def is_balanced(sequence, kinds):
    stack = []
    for symbol in sequence:
        if symbol < kinds:
            stack.append(symbol)
        elif not stack or stack.pop() != symbol - kinds:
            return False
    return not stack


def test_bracket_sequences_are_balanced_and_contain_every_kind():
    drawn = draw_symbols("dyck", 500, 16, 3, np.random.default_rng(0))
    assert all(is_balanced(row, 3) for row in drawn)
    assert set(drawn.ravel()) == set(range(6))
    assert len({tuple(row) for row in drawn}) > 400
    assert not all(is_balanced(row, 3) for row in np.random.default_rng(0).permuted(drawn, axis=1))


def test_copy_sequences_have_equal_halves():
    drawn = draw_symbols("copy", 20, 9, 3, np.random.default_rng(0))
    assert (drawn[:, :4] == drawn[:, 4:8]).all()


def test_brackets_require_an_even_number_of_patches():
    with pytest.raises(InitializerError, match="brackets need an even number of patches"):
        draw_symbols("dyck", 2, 9, 3, np.random.default_rng(0))


def test_a_share_of_each_sequence_is_masked():
    masked = draw_mask((30, 20), 0.15, np.random.default_rng(0))
    assert (masked.sum(axis=1) == 3).all()
    assert (draw_mask((5, 4), 0.01, np.random.default_rng(0)).sum(axis=1) == 1).all()


def test_procedural_training_does_not_change_the_patch_embedding():
    model, before = tiny_model(), tiny_model()
    trunk = model.image.trunk
    tokens = torch.randn(2, trunk.patch_embed.num_patches, trunk.embed_dim)
    assert encode_tokens(trunk, tokens).shape == tokens.shape
    start(procedural(), model)
    assert same(trunk.patch_embed, before.image.trunk.patch_embed)
    assert not same(trunk.blocks, before.image.trunk.blocks)


def test_masked_symbols_are_predictable_in_brackets_but_not_after_shuffling():
    accuracy = {}
    for shuffled in (False, True):
        with named_torch_seed(0, "tower"):
            model = Timm(
                Timm.Config(
                    model="vit_tiny_patch16_224", image_size=32, embed_dim=32, text_width=32, text_heads=2,
                    text_layers=1, model_args={"patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 3},
                )
            ).build()  # fmt: skip
        initializer = procedural(steps=60, batch_size=64, lr=3e-3, symbol_std=0.3, shuffled=shuffled)
        report = initializer.initialize(model.image, RunContext(num_workers=0))
        accuracy[shuffled] = report.metrics["masked_accuracy"]
    assert accuracy[False] > accuracy[True] + 0.15


def test_procedural_requires_a_vision_transformer():
    with pytest.raises(InitializerError, match="needs a timm vision transformer"):
        procedural().initialize(nn.Sequential(nn.Linear(2, 2)), RunContext())


def test_a_fractal_system_contracts_and_has_the_requested_complexity():
    for seed in range(20):
        system = draw_system(2, 3.5, np.random.default_rng(seed))
        values = np.linalg.svd(system[:, :, :2], compute_uv=False)
        assert (values[:, 0] + 2 * values[:, 1]).sum() == pytest.approx(3.5)
        assert values.max() <= 1 + 1e-9


def test_points_of_a_fractal_system_are_on_its_attractor():
    # x -> x / 2 and x -> x / 2 + 1 / 2: the attractor is the diagonal from (0, 0) to (1, 1)
    half = np.array([[[0.5, 0, 0], [0, 0.5, 0]], [[0.5, 0, 0.5], [0, 0.5, 0.5]]])
    points = draw_points(half, np.random.default_rng(0))
    assert np.allclose(points[:, 0], points[:, 1])
    assert 0 <= points.min() < 0.01 < 0.99 < points.max() <= 1


def test_a_rendered_pixel_is_the_share_of_finer_pixels_with_a_point():
    corners = np.array([[0.0, 0.0], [1.0, 1.0]])
    image = render(corners, 8)
    assert image[0, 0] == image[7, 7] == round(GREY / FINER**2)
    assert image.sum() == 2 * round(GREY / FINER**2)


def test_points_are_rendered_with_equal_margins():
    corners = np.array([[0.0, 0.0], [1.0, 1.0]])
    assert np.argwhere(render(corners, 100)).tolist() == [[2, 2], [98, 98]]


def test_a_smaller_perturbation_makes_classes_more_similar():
    def distance(perturbation):
        made = Fractals(Fractals.Config(num_classes=4, perturbation=perturbation))
        images = [made.pair(i).image.astype(float) for i in range(4)]
        return np.mean([np.abs(a - b).mean() for a in images for b in images])

    assert distance(0.001) < distance(0.1) / 2


def test_preflight_reports_a_complexity_that_no_system_has():
    [problem] = Fractals(Fractals.Config(sigma=0.05)).preflight()
    assert problem.startswith("no 2 maps with sigma = 0.05 were found. Choose sigma closer to")
    assert list(Fractals(Fractals.Config()).preflight()) == []


def test_each_fractal_is_a_class_and_depends_only_on_the_seed():
    made, again = (Fractals(Fractals.Config(num_classes=3)) for _ in range(2))
    assert made.read_classes().labels.tolist() == [0, 1, 2]
    assert (made.pair(2).image == again.pair(2).image).all()
    other = Fractals(Fractals.Config(num_classes=3, seed=1))
    assert (made.pair(2).image != other.pair(2).image).any()


class Given(nn.Module):
    """A teacher with known embeddings."""

    image_size = 32

    def __init__(self, embeddings):
        super().__init__()
        self.embeddings = embeddings

    def forward(self, images):
        return self.embeddings[: len(images)]


def test_the_feature_matching_loss_is_one_minus_the_cosine():
    target = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    objective = Matching(Given(target), 2, "features", 0.1)
    objective.project.weight.data = torch.eye(2)
    found = torch.tensor([[2.0, 0.0], [1.0, 1.0]])
    expected = 1 - (1 + math.sqrt(0.5)) / 2
    assert objective.loss(None, image=found, target=target).item() == pytest.approx(expected)


def test_the_similarity_matching_loss_is_the_cross_entropy_with_the_teacher():
    target = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    objective = Matching(Given(target), 2, "similarities", 1.0)
    # image 0: cosines 0 and -1 to the others in teacher and student; its entropy, and that of the others by symmetry
    p = 1 / (1 + math.exp(-1))
    ends, middle = -(p * math.log(p) + (1 - p) * math.log(1 - p)), math.log(2)
    found = objective.loss(None, image=3 * target, target=target).item()
    assert found == pytest.approx((2 * ends + middle) / 3, abs=1e-6)


def test_a_teacher_is_neither_trained_nor_saved():
    objective = Matching(tiny_model().image, 8, "features", 0.1)
    assert [name for name, _ in objective.named_parameters()] == ["project.weight"]
    assert list(objective.state_dict()) == ["project.weight"]


@pytest.mark.parametrize("keys", [{"teacher": "run"}, {"teacher": "timm"}, {"file": "x"}, {"model": "x"}])
def test_a_teacher_requires_its_source_and_only_that(keys):
    with pytest.raises(ValueError, match="if and only if"):
        Distil.Config(**keys)


@pytest.mark.parametrize("scheme", ["jax", "moco", "reset"])
def test_a_scheme_redraws_the_trunk_like_timm(scheme):
    model, before = start(TimmScheme(TimmScheme.Config(scheme=scheme))), tiny_model()
    weight = model.image.trunk.blocks[0].mlp.fc1.weight
    assert not torch.equal(weight, before.image.trunk.blocks[0].mlp.fc1.weight)
    assert same(model.image.projection, before.image.projection)
    with torch.random.fork_rng():
        reference = VisionTransformer(
            img_size=32, patch_size=8, embed_dim=weight.shape[1], depth=1, num_heads=2, num_classes=0,
            weight_init="" if scheme == "reset" else scheme,
        )  # fmt: skip
    assert weight.std().item() == pytest.approx(reference.blocks[0].mlp.fc1.weight.std().item(), rel=0.15)


def test_the_covariance_of_a_3_by_3_filter_has_the_values_computed_by_hand():
    found = filter_covariance(3, 3, 1 / (2 * math.log(2))).reshape(3, 3, 3, 3)  # Z(p) = 2 ** -|p|^2
    assert found[1, 1, 1, 1].item() == pytest.approx(1 - 1 / 2)
    assert found[0, 1, 0, 1].item() == pytest.approx(1 / 2 * (1 - 1 / 4))
    assert found[0, 0, 0, 0].item() == pytest.approx(1 / 4 * (1 - 1 / 8))
    # center and edge: the mean of 1 (1/2 - 1/4) and 1/2 (1/2 - 1/2)
    assert found[1, 1, 0, 1].item() == pytest.approx(1 / 8)
    # edges two pixels apart: 1/2 (1/16 - 1/4)
    assert found[0, 1, 2, 1].item() == pytest.approx(-3 / 32)


def test_the_square_root_sets_negative_eigenvalues_to_zero():
    # eigenvalues 4 and -2 along (1, 1) and (1, -1)
    assert torch.allclose(square_root(torch.tensor([[1.0, 3.0], [3.0, 1.0]])), torch.ones(2, 2))


class Depthwise(nn.Module):
    """Two depthwise convolutions with many channels, and other layers."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(4096, 4096, 3, groups=4096)
        self.pointwise = nn.Conv2d(8, 8, 1, groups=8)
        self.grouped = nn.Conv2d(8, 8, 3, groups=2)
        self.last = nn.Conv2d(4096, 8192, 3, groups=4096)


def drawn_filters(**keys):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Depthwise()
    before = copy.deepcopy(model.state_dict())
    report = Covariance(Covariance.Config(**keys)).initialize(model, RunContext())
    changed = [name for name, weight in model.state_dict().items() if not torch.equal(weight, before[name])]
    assert changed == list(report.changed) == ["first.weight", "last.weight"]
    return [layer.weight.detach().flatten(1).double() for layer in (model.first, model.last)]


def test_drawn_filters_have_the_covariance_of_their_depth():
    for filters, variance in zip(drawn_filters(), (0.1, 2.0), strict=True):
        assert torch.allclose(filters.T.cov(correction=0), filter_covariance(3, 3, variance), atol=0.04)


def test_shuffled_filters_keep_the_spectrum_but_not_the_covariance_of_neighbors():
    whole, shuffled = (drawn_filters(shuffle=shuffle)[1].T.cov() for shuffle in (False, True))
    assert torch.allclose(*(torch.linalg.eigvalsh(m) for m in (whole, shuffled)), atol=1e-6)
    assert not torch.allclose(whole, shuffled, atol=0.2)


def test_a_tower_without_depthwise_convolutions_is_refused():
    with pytest.raises(InitializerError, match=r"no depthwise convolution.*trunk\.patch_embed\.proj"):
        start(Covariance(Covariance.Config()))


def test_a_convmixer_of_an_unpublished_size_can_be_built():
    sizes = {"dim": 24, "depth": 3, "kernel_size": 5, "patch_size": 4}
    config = Timm.Config(model="convmixer_768_32", model_args=sizes, image_size=32, text_layers=1)
    trunk = Timm(config).build().image.trunk
    assert trunk.blocks[2][0].fn[0].weight.shape == (24, 1, 5, 5)


PLANTED = """
schema = 1
name = "planted"
seeds = [0, 1, 2]
baseline = "random"
[verdict]
delta = 1.0
[backbone]
use = "timm"
model = "test_resnet"
image_size = 32
embed_dim = 32
text_width = 32
text_heads = 2
text_layers = 1
context_length = 16
[pretrain]
use = "supervised"
epochs = {epochs}
batch_size = 64
lr = 2e-3
crop_scale = [0.8, 1.0]
pairs = {{ use = "synthetic", num_pairs = 512 }}
[[eval]]
use = "classification"
datasets = ["synthetic"]
synthetic_num_images = 512
[[arm]]
name = "random"
init = []
{arms}
"""
DISTIL = """[[arm]]
name = "{name}"
init = [{{ use = "distil", {teacher}, epochs = 8, batch_size = 64, lr = 2e-3, pairs = {{ use = "synthetic", num_pairs = 1024, seed = 9 }} }}]
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("PERCEPTINIT_PLANTED"), reason="minutes: PERCEPTINIT_PLANTED=1")
def test_a_trained_teacher_helps_and_a_random_teacher_does_not(tmp_path):
    teacher = read_recipe(PLANTED.format(epochs=30, arms=""), source="teacher.toml", overrides=["seeds=[7]"])
    run_recipe(teacher, out=tmp_path / "teacher", device="cpu")
    weights = tmp_path / "teacher/planted/random/seed7/weights/final.safetensors"
    image = {k: v for k, v in load_file(weights).items() if k.startswith("image.")}
    save_file(image, tmp_path / "teacher.safetensors")
    arms = DISTIL.format(name="knows", teacher=f'teacher = "run", file = "{tmp_path}/teacher.safetensors"')
    arms += DISTIL.format(name="guesses", teacher='teacher = "random"')
    recipe = read_recipe(PLANTED.format(epochs=1, arms=arms), source="planted.toml")
    run_recipe(recipe, out=tmp_path / "runs", device="cpu")
    comparison = compare(load_runs([tmp_path / "runs/planted"]))
    outcomes = {v.contrast.arm: v.outcome for v in verdicts(comparison, comparison.primary)}
    assert outcomes["knows"] == "better"
    assert outcomes["guesses"] != "better"
