"""The frozen part of a tower encodes each image once in stage 1, with the same gradients."""

from dataclasses import replace

import open_clip
import pytest
import timm
import torch
import torchvision
from helpers.stage_one import Heard, Killed, TinyTower, hinge_initializer
from helpers.vision_towers import tower
from torch import nn

from perceptinit.files.checkpoints import load_state, save_state
from perceptinit.initializers import triplet
from perceptinit.initializers.frozen_part import FrozenPartError, find_frozen_part
from perceptinit.initializers.norms import NormLayers
from perceptinit.initializers.weights import only_training, trainable_names
from perceptinit.library.adapters import adapt

IMAGES = torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def clip():
    config = open_clip.get_model_config("ViT-B-32")
    config["vision_cfg"] |= {"width": 64, "layers": 3, "head_width": 32, "image_size": 32, "patch_size": 8}
    config["text_cfg"] |= {"layers": 1, "width": 32, "heads": 2}
    return open_clip.CLIP(**{**config, "embed_dim": 32})


def hugging_face():
    transformers = pytest.importorskip("transformers", reason="extra 'huggingface' not installed")
    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64}
    return transformers.ViTModel(transformers.ViTConfig(**sizes, image_size=32, patch_size=8))


MODELS = {
    "recipe": lambda: tower(depth=3),
    "vit": lambda: adapt(timm.create_model("vit_tiny_patch16_224", img_size=32, patch_size=8, depth=3)),
    "resnet": lambda: adapt(timm.create_model("test_resnet"), image_size=32),
    "convnext": lambda: adapt(timm.create_model("test_convnext"), image_size=32),
    "efficientnet": lambda: adapt(timm.create_model("test_efficientnet"), image_size=32),
    "open_clip": lambda: adapt(clip()),
    "torchvision": lambda: adapt(torchvision.models.resnet18(), image_size=32),
    "transformers": lambda: adapt(hugging_face(), mean=(0.5,) * 3, std=(0.5,) * 3),
}


def gradients(model, encode, inputs):
    model.zero_grad()
    model.train()
    NormLayers.of(model, "frozen").freeze()
    encode(inputs).square().sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", MODELS)
def test_gradients_behind_the_frozen_part_equal_those_of_the_whole_tower(name):
    torch.manual_seed(0)
    model = MODELS[name]()
    with only_training(model, trainable_names(model, "all", last_blocks=1)):
        part = find_frozen_part(model, IMAGES, NormLayers.of(model, "frozen"))
        wanted = gradients(model, model.encode_image, IMAGES)
        found = gradients(model, part.encode_image, part.features(IMAGES))
    assert found.keys() == wanted.keys()
    for weight, gradient in wanted.items():
        assert (found[weight] - gradient).abs().max() <= 1e-6 * gradient.abs().max().clamp(min=1)


class Counted(nn.Linear):
    """A layer that lists the numbers of its inputs."""

    def forward(self, inputs):
        vars(self).setdefault("rows", []).append(len(inputs))
        return super().forward(inputs)


class Blocks(TinyTower):
    """A tower with two numbered blocks, which counts the rows that pass through the first."""

    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(nn.Flatten(), Counted(48, 16), nn.Linear(16, 16))
        self.reset_parameters(0)

    @property
    def rows(self):
        return self.trunk[1].rows


def run(model, heard=None, **options):
    return hinge_initializer(last_blocks=1, **options).initialize(model, (heard or Heard()).ctx)


def test_the_frozen_blocks_encode_each_image_once_for_training_and_once_for_evaluation():
    model = Blocks()
    run(model, eval_every=1)
    assert [rows for rows in model.rows if rows > 3] == [24, 24]  # others test the division


def test_weights_after_training_are_those_of_a_stage_that_encodes_everything_in_each_step(monkeypatch):
    once = run(Blocks())
    monkeypatch.setattr(triplet, "encode_frozen_once", lambda *arguments: None)
    model = Blocks()
    report = run(model)
    assert len(model.rows) > 12
    assert once.sha256_after == report.sha256_after
    assert once.metrics == report.metrics


def test_parameters_that_the_caller_froze_count_as_well():
    model = Blocks()
    model.trunk[1].requires_grad_(False)
    hinge_initializer().initialize(model, Heard().ctx)
    assert [rows for rows in model.rows if rows > 3] == [24, 24]


def test_frozen_weights_behind_trained_ones_are_encoded_in_each_step():
    model = Blocks()
    model.projection.requires_grad_(False)
    heard = Heard()
    hinge_initializer().initialize(model, heard.ctx)
    reason = "the frozen part of the tower is encoded in each step, because trained weights precede it"
    assert reason in heard.warnings


@pytest.mark.parametrize(
    ("layer", "options", "reason"),
    [
        (None, {"flip": True}, "images are augmented (crop_scale, flip)"),
        (None, {"cache_gib": 1e-9}, "its outputs need 2.9e-06 GiB, more than cache_gib = 1e-09"),
        (nn.Dropout(0.1), {}, "it contains dropout"),
        (nn.BatchNorm1d(16), {}, "its batch norm learns statistics"),
    ],
)
def test_what_prevents_it_is_a_warning(layer, options, reason):
    heard = Heard()
    model = Blocks()
    if layer is not None:
        model.trunk.insert(2, layer)
    run(model, heard, **options)
    assert f"the frozen part of the tower is encoded in each step, because {reason}" in heard.warnings
    assert len(model.rows) > 12


def test_frozen_statistics_do_not_prevent_it():
    model = Blocks()
    model.trunk.insert(2, nn.BatchNorm1d(16))
    heard = Heard()
    run(model, heard, norm="frozen")
    assert not any("frozen part" in message for message in heard.warnings)


class Gate(nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.zeros(16))

    def forward(self, x):
        return self.gain * x


class Gated(nn.Module):
    """A second path around the trained layer, through a gain that is zero at first and learned."""

    def __init__(self):
        super().__init__()
        self.image_size = 4
        self.first = nn.Linear(48, 16)
        self.second = nn.Linear(16, 16)
        self.gate = Gate()

    def encode_image(self, images):
        x = self.first(images.flatten(1) / 255)
        return self.second(x) + self.gate(x)


def test_a_path_that_a_learned_gain_of_zero_hides_is_not_cut_off():
    model = Gated()
    model.first.requires_grad_(False)
    with pytest.raises(FrozenPartError, match="it has several outputs"):
        find_frozen_part(model, IMAGES[:3, :, :4, :4].float(), NormLayers.of(model, None))
    assert not model.gate.gain.any()


def test_a_resumed_stage_ends_with_equal_weights(tmp_path):
    model = Blocks()

    def offer(number, state):
        if number == 5:
            save_state(tmp_path / "state", {"stage": state(), "weights": model.state_dict()})
            raise Killed

    with pytest.raises(Killed):
        hinge_initializer(last_blocks=1).initialize(model, replace(Heard().ctx, offer=offer))
    kept = load_state(tmp_path / "state")
    model = Blocks()
    model.load_state_dict(kept["weights"])
    ctx = replace(Heard().ctx, resumed=kept["stage"])
    report = hinge_initializer(last_blocks=1).initialize(model, ctx)
    assert report.sha256_after == run(Blocks()).sha256_after
