"""Initializer `linear` folds its map into the last linear layer, or adds a layer, and changes nothing else."""

# B batch, D embedding
import numpy as np
import open_clip
import pytest
import timm
import torch
import torchvision
from PIL import Image
from torch import nn

from perceptinit import apply_perceptual_init
from perceptinit.errors import InitializerError, UsageError
from perceptinit.images.stimuli import StimulusImages
from perceptinit.initializers.linear import Linear, fold
from perceptinit.judgments.controls.synthetic import SyntheticJudgments
from perceptinit.judgments.two_afc import embed, measure
from perceptinit.library.adapters import adapt
from perceptinit.testing import tiny_judgments, tiny_model
from perceptinit.types import InitReport, RunContext, Triplets

TINY = ("synthetic", {"num_train": 24, "num_val": 12, "num_test": 1})
SMALL_VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 64, "depth": 1, "num_heads": 2}
SIZES = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
TEXT = {"layers": 1, "width": 32, "heads": 2}


def timm_vit():
    return timm.create_model("vit_tiny_patch16_224", num_classes=10, **SMALL_VIT), {}


def timm_resnet():
    return timm.create_model("test_resnet", num_classes=10), {"image_size": 32}


def open_clip_vit():
    vision = {"image_size": 32, "patch_size": 8, "width": 64, "layers": 1, "head_width": 32}
    return open_clip.CLIP(embed_dim=64, vision_cfg=vision, text_cfg=TEXT), {}  # blocks have D outputs, too


def open_clip_resnet():
    vision = {"image_size": 32, "patch_size": None, "width": 8, "layers": [1, 1, 1, 1], "head_width": 8}
    return open_clip.CLIP(embed_dim=24, vision_cfg=vision, text_cfg=TEXT), {}


def torchvision_resnet():
    return torchvision.models.resnet18(num_classes=10), {"image_size": 32}


def huggingface_clip():
    transformers = pytest.importorskip("transformers", reason="extra 'huggingface' not installed")
    vision = transformers.CLIPVisionConfig(**SIZES, image_size=32, patch_size=8, projection_dim=24)
    return transformers.CLIPVisionModelWithProjection(vision), {}


def huggingface_vit():
    transformers = pytest.importorskip("transformers", reason="extra 'huggingface' not installed")
    return transformers.ViTModel(transformers.ViTConfig(**SIZES, image_size=32, patch_size=8)), {}


def cnn_with_linear_layer():
    model = nn.Sequential(nn.Conv2d(3, 8, 5, 2), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 32))
    return model, {"encode": model, "image_size": 32}


def cnn_with_activation():
    model, _ = cnn_with_linear_layer()
    model.append(nn.ReLU())
    return model, {"encode": model, "image_size": 32}


# model -> tensors that change
MODELS = {
    timm_vit: {"embedding_map.weight"},
    timm_resnet: {"embedding_map.weight"},
    open_clip_vit: {"visual.proj"},
    open_clip_resnet: {"visual.attnpool.c_proj.weight", "visual.attnpool.c_proj.bias"},
    torchvision_resnet: {"embedding_map.weight"},
    huggingface_clip: {"visual_projection.weight"},
    huggingface_vit: {"embedding_map.weight"},
    cnn_with_linear_layer: {"3.weight", "3.bias"},
    cnn_with_activation: {"embedding_map.weight"},
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PERCEPTINIT_CACHE", str(tmp_path / "cache"))


def build(make):
    torch.manual_seed(0)
    model, arguments = make()
    return model.eval(), arguments


def apply_quickly(model, **arguments):
    return apply_perceptual_init(model, "linear", judgments=TINY, pull=0.1, progress=False, **arguments)


@pytest.mark.parametrize("make", MODELS)
@torch.no_grad()
def test_a_folded_map_multiplies_the_embeddings_and_changes_only_the_last_layer(make):
    model, arguments = build(make)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    tower = adapt(model, **arguments).eval()
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    old = tower.encode_image(images)
    matrix = torch.from_numpy(np.random.default_rng(0).standard_normal((old.shape[1], old.shape[1])))
    fold(tower, matrix, images[:2])
    wanted = (old.double() @ matrix.T).float()
    again = adapt(model, **arguments).eval()  # the map is part of the model
    for found in (tower.encode_image(images), again.encode_image(images)):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5 * float(wanted.abs().max()))
    after = model.state_dict()
    assert {n for n in after if n not in before or not torch.equal(after[n], before[n])} == MODELS[make]


def test_the_second_map_is_folded_into_the_layer_of_the_first():
    model, arguments = build(timm_resnet)
    first = apply_quickly(model, **arguments)
    second = apply_quickly(model, **arguments)
    assert first.changed == second.changed == ("embedding_map.weight",)
    assert second.sha256_before == first.sha256_after != second.sha256_after


def test_a_cached_map_adds_the_layer_as_the_computation_did():
    weights = []
    for _ in range(2):
        model, arguments = build(timm_resnet)
        report = apply_quickly(model, **arguments)
        weights.append(model.embedding_map.weight)
    assert report.metrics["from_cache"] == 1
    assert torch.equal(*weights)


def test_the_added_layer_has_the_dtype_of_the_model():
    model, arguments = build(timm_resnet)
    apply_quickly(model.bfloat16(), **arguments)
    assert model.embedding_map.weight.dtype == torch.bfloat16


def test_the_classifier_predicts_the_same_classes():
    model, arguments = build(torchvision_resnet)
    images = torch.rand(2, 3, 32, 32)
    before = model(images)
    apply_quickly(model, **arguments)
    assert torch.equal(model(images), before)


def test_a_frozen_model_receives_a_layer_and_keeps_its_weights():
    model, arguments = build(cnn_with_linear_layer)
    model.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    report = apply_quickly(model, **arguments)
    assert report.changed == ("embedding_map.weight",)
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in before.items())


def test_a_frozen_projection_of_a_dual_encoder_is_refused():
    model, arguments = build(huggingface_clip)
    model.visual_projection.requires_grad_(False)
    with pytest.raises(UsageError, match=r"projection is frozen\. Call requires_grad_"):
        apply_quickly(model, **arguments)


def test_a_recipe_tower_without_a_linear_output_is_refused():
    tower = tiny_model().image
    tower.projection = nn.Identity()
    with pytest.raises(
        InitializerError, match="the embedding is not the output of a linear layer with trainable weights"
    ):
        Linear(Linear.Config(pull=0.1), tiny_judgments()).initialize(tower, RunContext(stage="init.0"))


def test_judgments_that_no_map_predicts_better_leave_the_weights_unchanged():
    tower = tiny_model().image
    judgments = SyntheticJudgments(SyntheticJudgments.Config(num_train=60, num_val=20, num_test=1))
    warnings = []
    ctx = RunContext(stage="init.0", send=lambda event: warnings.append(event.message))
    report = Linear(Linear.Config(), judgments).initialize(tower, ctx)
    assert report.changed == ()
    assert report.sha256_before == report.sha256_after
    assert "no map is shown to be better than the identity" in warnings[0]
    assert report.metrics["2afc_val_before"] == report.metrics["2afc_val_after"]


def test_reported_scores_after_the_map_are_those_of_the_changed_model():
    tower = tiny_model().image.eval()
    judgments = tiny_judgments()
    report = Linear(Linear.Config(pull=0.03), judgments).initialize(tower, RunContext(stage="init.0"))
    held_out = judgments.load("val")
    found = measure(tower.encode_image, held_out, StimulusImages(held_out.stimuli, 32, fit=tower.fit))
    assert report.changed == ("projection.weight",)
    assert report.metrics["2afc_val_after"] == pytest.approx(found.accuracy)
    assert report.metrics["spread_after"] == pytest.approx(found.spread, rel=1e-4)


def test_the_report_states_the_gain_by_cross_validation_if_every_held_out_image_is_known():
    report = InitReport(
        name="linear",
        changed=("projection.weight",),
        sha256_before="",
        sha256_after="",
        metrics={"spread_before": 0.2, "spread_after": 0.3, "unseen_images_gain": 0.0384},
        seconds=1.0,
    )
    assert str(report).splitlines() == [
        "linear: 1 tensors changed",
        "2AFC on images without a part in the fit, by cross-validation: gain +0.038",
        "mean cosine distance of two images: 0.2 -> 0.3",
    ]


class Planted:
    """Judgments of people who see half of the dimensions of a tower's embeddings, or only the other half."""

    def __init__(self, tower, dimensions):
        stimuli = tiny_judgments().load("train").stimuli
        rng = np.random.default_rng(0)
        triplets = np.stack([rng.permutation(len(stimuli))[:3] for _ in range(3000)], axis=1)
        images = StimulusImages(stimuli, 32, fit=tower.fit)
        z = embed(tower.eval().encode_image, images, np.arange(len(stimuli)))
        seen = np.full(z.shape[1], 0.1)
        seen[dimensions] = 1.0
        distances = [((z[triplets[0]] - z[other]) * seen) ** 2 for other in triplets[1:]]
        is_second = distances[1].sum(axis=1) < distances[0].sum(axis=1)
        self.triplets = Triplets.build(stimuli, *triplets, is_second.astype(float), unit="image")

    def load(self, split):
        return self.triplets


def test_a_second_set_that_loses_more_than_its_error_is_a_warning():
    tower = tiny_model().image
    first, second = Planted(tower, slice(0, 16)), Planted(tower, slice(16, 32))
    warnings = []
    ctx = RunContext(stage="init.0", send=lambda event: warnings.append(event.message))
    metrics = Linear(Linear.Config(pull=0.03), first, second).initialize(tower, ctx).metrics
    assert metrics["known_2afc_after"] > metrics["known_2afc_before"] + 0.03
    assert metrics["also_on_2afc_after"] < metrics["also_on_2afc_before"] - 0.03
    assert "also_on: stage 1 lowered 2AFC" in warnings[0]
    assert "Increase pull" in warnings[0]


def write_judgments(form, tower, folder):
    """Write pictures, and judgments by people who see three dimensions of a tower's embeddings."""
    stimuli = tiny_judgments().load("train").stimuli
    names = [f"{name.replace('/', '-')}.png" for name in stimuli.ids]
    (folder / "photographs").mkdir()
    for name, pixels in zip(names, stimuli.images, strict=True):
        Image.fromarray(np.asarray(pixels)).save(folder / "photographs" / name)
    z = embed(tower.eval().encode_image, StimulusImages(stimuli, 32, fit=tower.fit), np.arange(len(names)))
    apart = np.linalg.norm(z[:, None, :3] - z[None, :, :3], axis=2)
    options = {"images": str(folder / "photographs")}
    if form == "matrix":
        np.save(folder / "people.npy", apart)
        (folder / "names.txt").write_text("\n".join(names), "utf-8")
        return str(folder / "people.npy"), options | {
            "kind": "dissimilarity",
            "names": str(folder / "names.txt"),
        }
    rng = np.random.default_rng(0)
    rows = ["image_1,image_2,image_3,odd"]
    for _ in range(3000):
        a, b, c = rng.permutation(len(names))[:3]
        odd = (a, b, c)[np.argmin([apart[b, c], apart[a, c], apart[a, b]])]
        rows.append(",".join(names[i] for i in (a, b, c, odd)))
    (folder / "people.csv").write_text("\n".join(rows), "utf-8")
    return str(folder / "people.csv"), options


@pytest.mark.parametrize("form", ["matrix", "odd-one-out"])
def test_a_map_fits_matrices_and_odd_one_out_answers(form, tmp_path):
    model = timm_vit()[0]
    judgments = write_judgments(form, adapt(model), tmp_path)
    report = apply_perceptual_init(model, "linear", judgments=judgments, pull=0.03, progress=False)
    assert report.changed == ("embedding_map.weight",)
    assert report.metrics["2afc_val_after"] > report.metrics["2afc_val_before"] + 0.05
