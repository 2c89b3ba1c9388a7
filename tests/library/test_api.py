"""`apply_perceptual_init` on models of other libraries: changed weights and unchanged state."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import open_clip
import pytest
import timm
import torch
import torchvision
from torch import nn

from perceptinit import apply_perceptual_init, build
from perceptinit.errors import DataError, InitializerError, RecipeError, UsageError
from perceptinit.library.adapters import unwrap
from perceptinit.types import Stimuli, Triplets

ENOUGH = ("synthetic", {"num_train": 256, "num_val": 200, "num_test": 1})
TINY = ("synthetic", {"num_train": 24, "num_val": 12, "num_test": 1})
SMALL_VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 64, "depth": 2, "num_heads": 4}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PERCEPTINIT_CACHE", str(tmp_path / "cache"))
    torch.manual_seed(0)  # models have random weights


def timm_vit():
    return timm.create_model("vit_tiny_patch16_224", num_classes=10, **SMALL_VIT), {}


def timm_convnext():
    sizes = {"depths": (1, 1, 1, 1), "dims": (16, 24, 32, 48)}
    return timm.create_model("convnext_atto", num_classes=10, **sizes), {"image_size": 32}


def open_clip_vit_b_32():
    """The model configuration ViT-B-32 at small size."""
    config = open_clip.get_model_config("ViT-B-32")
    config["vision_cfg"] |= {"image_size": 32, "patch_size": 8, "width": 64, "layers": 2}
    config["vision_cfg"] |= {"head_width": 16}
    config["text_cfg"] |= {"layers": 1, "width": 32, "heads": 2}
    return open_clip.CLIP(**{**config, "embed_dim": 32}), {}


def torchvision_vit():
    """The class of `vit_b_16` at small size."""
    sizes = {"num_layers": 2, "num_heads": 4, "hidden_dim": 64, "mlp_dim": 128}
    return torchvision.models.VisionTransformer(image_size=32, patch_size=8, **sizes), {}


def huggingface_clip():
    transformers = pytest.importorskip("transformers", reason="extra 'huggingface' not installed")
    config = transformers.CLIPVisionConfig(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=32,
        patch_size=8,
    )
    return transformers.CLIPVisionModel(config), {}


def hand_written_cnn():
    layers = [nn.Conv2d(3, 16, 5, 2, 2), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1)]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(128, 32))
    return model, {"encode": model, "image_size": 32}


MODELS = {
    "timm ViT": (timm_vit, ("head.",)),
    "timm ConvNeXt": (timm_convnext, ("head.fc.",)),
    "open_clip ViT-B-32": (open_clip_vit_b_32, ("transformer.", "token_embedding", "logit_scale")),
    "torchvision ViT": (torchvision_vit, ("heads.",)),
    "Hugging Face CLIPVisionModel": (huggingface_clip, ()),
    "hand-written CNN": (hand_written_cnn, ()),
}


def state_of(model):
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {
        "modes": {name: m.training for name, m in model.named_modules()},
        "types": {name: type(m) for name, m in model.named_modules()},
        "tensors": {n: (id(t), t.dtype, t.device, t.stride(), t.requires_grad) for n, t in tensors.items()},
        "hooks": {name: len(m._forward_hooks) for name, m in model.named_modules()},
        "pre_hooks": {name: len(m._forward_pre_hooks) for name, m in model.named_modules()},
    }


QUICKEST = "hand-written CNN"


@pytest.mark.parametrize(
    "name", [name if name == QUICKEST else pytest.param(name, marks=pytest.mark.slow) for name in MODELS]
)
def test_perceptual_init_improves_held_out_2afc(name):
    torch.manual_seed(0)
    model, arguments = MODELS[name][0]()
    report = apply_perceptual_init(
        model, judgments=ENOUGH, epochs=6, batch_size=32, lr=1e-3, progress=False, **arguments
    )
    assert report.metrics["2afc_val_after"] > report.metrics["2afc_val_before"] + 0.03


@pytest.mark.parametrize("name", MODELS)
def test_perceptual_init_changes_only_vision_weights(name):
    make, untouched = MODELS[name]
    torch.manual_seed(0)
    model, arguments = make()
    model.eval()
    next(model.children()).train()  # mixed modes, which must be restored
    next(model.modules()).register_forward_hook(lambda *_: None)
    before, state = {k: v.clone() for k, v in model.state_dict().items()}, state_of(model)
    report = apply_quickly(model, lr=1e-3, **arguments)
    after = model.state_dict()
    changed = {n for n in before if not torch.equal(before[n], after[n])}
    assert set(report.changed) == changed
    assert not [n for n in changed if n.startswith(untouched)] or not untouched
    assert len(changed) > 5
    assert state_of(model) == state


def apply_quickly(model, **arguments):
    return apply_perceptual_init(model, judgments=TINY, epochs=1, batch_size=8, progress=False, **arguments)


def test_frozen_parameters_and_existing_gradients_are_unchanged():
    model, _ = timm_vit()
    model.pos_embed.requires_grad_(False)
    model.cls_token.grad = torch.ones_like(model.cls_token)
    before = model.pos_embed.clone()
    report = apply_quickly(model)
    assert "pos_embed" not in report.changed
    assert torch.equal(model.pos_embed, before)
    assert not model.pos_embed.requires_grad
    assert torch.equal(model.cls_token.grad, torch.ones_like(model.cls_token))


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_kernels_are_in_the_channels_last_format_during_training_only(memory_format):
    model, arguments = hand_written_cnn()
    model.to(memory_format=memory_format)
    strides = [p.stride() for p in model.parameters()]
    seen = []

    def see(module, inputs, output):
        if torch.is_grad_enabled():
            seen.append(module.weight.stride())

    model[3].register_forward_hook(see)
    apply_quickly(model, **arguments)
    assert set(seen) == {model[3].weight.to(memory_format=torch.channels_last).stride()}
    assert [p.stride() for p in model.parameters()] == strides


def test_a_bfloat16_model_is_trained_in_float32_and_returned_in_bfloat16():
    torch.manual_seed(0)
    model, _ = timm_vit()
    model.bfloat16()
    report = apply_quickly(model, lr=1e-3)
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert all(np.isfinite(list(report.metrics.values())))


def test_autocast_and_no_grad_around_the_call_have_no_effect():
    weights = []
    for context in (torch.enable_grad(), torch.autocast("cpu", torch.bfloat16), torch.no_grad()):
        torch.manual_seed(0)
        model, _ = timm_vit()
        with context:
            apply_quickly(model, cache=False)
        weights.append(model.patch_embed.proj.weight.detach().clone())
    assert torch.equal(weights[0], weights[1])
    assert torch.equal(weights[0], weights[2])


def test_trained_weights_depend_on_the_seed_only():
    hashes = []
    for seed in (0, 0, 1):
        torch.manual_seed(0)
        model, _ = timm_vit()
        hashes.append(apply_quickly(model, seed=seed, cache=False).sha256_after)
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_failed_call_restores_the_weights():
    model, _ = timm_vit()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(Exception, match="the loss is nan"):
        apply_quickly(model, lr=1e30, clip_norm=0.0, warmup_steps=0)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_progress_goes_to_standard_error_and_can_be_silenced(capsys):
    model, _ = timm_vit()
    apply_quickly(model)
    assert capsys.readouterr() == ("", "")
    apply_perceptual_init(model, judgments=TINY, epochs=1, batch_size=8)
    out, err = capsys.readouterr()
    assert out == ""
    assert "triplet: " in err


def triplets(num_groups, rows_each=6):
    pixels = np.random.default_rng(0).integers(0, 255, (3 * num_groups, 32, 32, 3), dtype=np.uint8)
    stimuli = Stimuli(tuple(f"s{i}" for i in range(len(pixels))), pixels)
    anchor = np.repeat(np.arange(num_groups) * 3, rows_each)
    p_second = np.tile([0.0, 1.0, 0.2], len(anchor))[: len(anchor)]
    return Triplets.build(stimuli, anchor, anchor + 1, anchor + 2, p_second)


def test_judgments_may_be_triplets_with_a_tenth_held_out():
    model, _ = timm_vit()
    options = {"epochs": 1, "batch_size": 16, "allow_collapse": True}  # the answers contradict each other
    report = apply_perceptual_init(model, judgments=triplets(20), progress=False, **options)
    assert report.metrics["triplets"] == 18 * 6


def test_triplets_of_one_group_are_refused():
    model, _ = timm_vit()
    with pytest.raises(DataError, match=r"no triplets in split 'train' \(6 triplets in 1 groups"):
        apply_perceptual_init(model, judgments=triplets(1), progress=False)


def test_judgments_may_be_the_path_of_a_table(tmp_path):
    from PIL import Image

    rows = ["anchor,first,second,first_votes,second_votes"]
    rng = np.random.default_rng(0)
    for i in range(60):
        Image.fromarray(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(tmp_path / f"{i}.png")
    rows += [f"{i}.png,{i + 1}.png,{i + 2}.png,{i % 5},{3}" for i in range(0, 57, 3)]
    (tmp_path / "mine.csv").write_text("\n".join(rows))
    model, _ = timm_vit()
    report = apply_perceptual_init(
        model, judgments=str(tmp_path / "mine.csv"), epochs=1, batch_size=4, progress=False
    )
    assert report.metrics["2afc_val_after"] >= 0


def test_missing_judgments_are_reported_in_one_line_with_the_download_command(monkeypatch, tmp_path):
    monkeypatch.delenv("NIGHTS_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as error:
        apply_perceptual_init(timm_vit()[0])
    text = str(error.value)
    assert "\n" not in text
    assert "Download it with: " in text
    assert 'judgments="synthetic"' in text


def test_published_judgments_are_searched_in_the_same_root_as_by_commands(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MATERIALS_ROOT", "elsewhere")
    with pytest.raises(DataError) as error:
        apply_perceptual_init(timm_vit()[0], judgments="materials")
    text = str(error.value)
    assert 'root = "elsewhere"' in text
    assert text.endswith("Set MATERIALS_ROOT to the data folder (default: data/materials)")
    with pytest.raises(DataError) as error:
        apply_perceptual_init(timm_vit()[0], judgments=("materials", {"root": "here"}))
    assert 'root = "here"' in str(error.value)
    assert "MATERIALS_ROOT" not in str(error.value)


def test_a_matrix_file_requires_the_keys_of_a_matrix():
    with pytest.raises(RecipeError) as error:
        apply_perceptual_init(timm_vit()[0], judgments=("people.npy", {"kind": "similarity"}))
    assert str(error.value).startswith("judgments.images: required, but not given. For its values, run: ")


@pytest.mark.parametrize(
    ("arguments", "kind", "sentence"),
    [
        ({"judgments": "nigths"}, RecipeError, "Did you mean 'nights'?"),
        ({"judgments": 3}, UsageError, "expected a name, the path of a table"),
        ({"judgments": TINY, "epochs": "3"}, RecipeError, "triplet.epochs: expected an integer, got '3'"),
        ({"judgments": TINY, "marign": 1}, RecipeError, "did you mean 'margin'?"),
        ({"method": "triplet-hnge"}, UsageError, "Did you mean 'triplet-hinge'?"),
        ({"method": "random"}, InitializerError, "cannot be reinitialized in place"),
        ({"method": "random", "judgments": TINY}, UsageError, "does not use judgments"),
        ({"judgments": TINY, "image_size": 48}, UsageError, "Is image_size right?"),
        ({"judgements": TINY}, UsageError, "judgements: not an argument. Did you mean judgments=?"),
        ({"initializer": "linear"}, UsageError, "initializer: not an argument. Did you mean method=?"),
    ],
)  # fmt: skip
def test_invalid_arguments_are_reported(arguments, kind, sentence):
    with pytest.raises(kind) as error:
        apply_perceptual_init(timm_vit()[0], progress=False, **arguments)
    assert sentence in str(error.value)


def test_judgments_may_be_a_recipe_table_or_a_built_component():
    table = {"use": TINY[0], **TINY[1]}
    hashes = []
    for judgments in (TINY, table, build("judgments", table)):
        torch.manual_seed(0)
        model, _ = timm_vit()
        report = apply_perceptual_init(
            model, judgments=judgments, epochs=1, batch_size=8, progress=False, cache=False
        )
        hashes.append(report.sha256_after)
    assert hashes[0] == hashes[1] == hashes[2]


class Frame:
    """A stand-in for a data frame of another library."""

    def to_csv(self): ...


ARRAY = np.zeros((4, 3), dtype=int)
WRONG_FORMS = {
    "an array": ({"judgments": ARRAY}, "Triplets.build(Stimuli(ids, images), anchor,"),
    "a data frame": ({"judgments": Frame()}, 'got a Frame. Save it as CSV, and pass ("table", {"path"'),
    "a dict without use": ({"judgments": {"seed": 1}}, "judgments.use: required: name of the judgments."),
    "images beside a path": (
        {"judgments": "mine.csv", "images": "photos"},
        """judgments=("table", {'path': 'mine.csv', 'images': 'photos'})""",
    ),
    "images beside a name": ({"judgments": "nights", "images": "photos"}, "a key of the judgments"),
    "images beside arrays": ({"judgments": ARRAY, "images": ARRAY}, "Stimuli(ids, images), ...)"),
    "no such device": ({"device": "gpu"}, "'auto' uses a GPU if there is one"),
    "judgments in second place": ({"method": TINY}, "method: expected a name"),
    "encode by name": ({"encode": "head"}, "encode: expected a function of images, got 'head'"),
    "two sizes": ({"image_size": (32, 32)}, "an integer number of pixels, got (32, 32)"),
    "one mean": ({"mean": 0.5}, "mean: expected three numbers, such as (0.5, 0.5, 0.5), got 0.5"),
    "a negative seed": ({"seed": -1}, "seed: expected an integer of at least 0, got -1"),
}


@pytest.mark.parametrize("name", WRONG_FORMS)
def test_an_argument_of_the_wrong_type_is_reported_with_the_expected_form(name):
    arguments, sentence = WRONG_FORMS[name]
    with pytest.raises(UsageError) as error:
        apply_perceptual_init(timm_vit()[0], progress=False, **{"judgments": TINY, **arguments})
    assert sentence in str(error.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_reported():
    with pytest.raises(UsageError, match="device 'cuda' cannot be used"):
        apply_quickly(timm_vit()[0], device="cuda")


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("vit_tiny_patch16_224", "Pass timm.create_model('vit_tiny_patch16_224')"),
        (nn.Linear, "the class that builds one. Pass Linear(...)"),
        (timm.create_model, "the function that builds one. Pass create_model(...)"),
        ((None, None, None), "got a tuple, such as open_clip.create_model_and_transforms returns"),
        ({}, "expected a torch.nn.Module, got dict"),
    ],
)
def test_an_object_that_is_not_a_model_is_reported_with_the_call_that_builds_one(model, sentence):
    with pytest.raises(UsageError) as error:
        apply_quickly(model)
    assert sentence in str(error.value)


def test_a_warning_points_to_the_line_of_the_caller():
    model, _ = timm_vit()
    with pytest.warns(UserWarning, match="is not shown to predict") as warnings:
        apply_quickly(model, lr=1e-9, cache=False)  # too low a learning rate, which gives a warning
    assert {w.filename for w in warnings} == {__file__}


def test_an_unknown_module_requires_encode_and_image_size():
    model, _ = hand_written_cnn()
    with pytest.raises(UsageError, match=r"Sequential is not a model of timm, open_clip, .*Pass encode="):
        apply_quickly(model)
    with pytest.raises(UsageError, match=r"Sequential does not specify its image_size\. Pass image_size="):
        apply_quickly(model, encode=model)
    with pytest.raises(UsageError, match=r"encode must return embeddings \(B, D\), got \(1, 32, 8, 8\)"):
        apply_quickly(model, encode=model[:4], image_size=32)


def constructed_vit():
    """A ViT from the constructor of its class, which sets no `pretrained_cfg`."""
    return timm.models.VisionTransformer(**SMALL_VIT, num_classes=10)


class Wrapped(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images):
        return self.model(images)


def lightning_module():
    lightning = pytest.importorskip("pytorch_lightning", reason="pytorch-lightning not installed")

    class Lit(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = constructed_vit()

        def forward(self, images):
            return self.net(images)

    return Lit()


@pytest.mark.parametrize(
    "make",
    [
        constructed_vit,
        lightning_module,
        lambda: torch.compile(constructed_vit(), backend="eager"),
        lambda: Wrapped(torch.compile(constructed_vit(), backend="eager")),
        lambda: nn.DataParallel(constructed_vit()),
        lambda: torch.optim.swa_utils.AveragedModel(constructed_vit()),
        lambda: open_clip_vit_b_32()[0].visual,
    ],
    ids=["constructed", "Lightning", "compiled", "wrapped and compiled", "DataParallel", "averaged", "part of CLIP"],
)  # fmt: skip
def test_encode_accepts_every_module(make):
    model = make()
    report = apply_quickly(model, encode=model, image_size=32)
    assert report.changed
    assert not {name for name in report.changed if name not in dict(unwrap(model).named_parameters())}


def test_a_constructed_timm_model_needs_encode_or_mean_and_std():
    with pytest.raises(UsageError, match=r"not specify its mean\. Pass mean=, or encode= and image_size="):
        apply_quickly(constructed_vit())
    assert apply_quickly(constructed_vit(), mean=(0.5,) * 3, std=(0.5,) * 3).changed


def test_a_model_on_the_meta_device_is_refused():
    with torch.device("meta"):
        model, _ = torchvision_vit()
    with pytest.raises(UsageError, match="on the meta device"):
        apply_quickly(model)


def test_a_torchvision_resnet_is_encoded_before_its_classifier():
    from perceptinit.library.adapters import adapt

    model = torchvision.models.resnet18().eval()
    tower = adapt(model, image_size=64)
    images = torch.rand(2, 3, 64, 64)
    embeddings = tower.eval().encode_image(images)
    assert embeddings.shape == (2, 512)
    torch.testing.assert_close(model.fc(embeddings), model(tower.normalize(images)))


def test_the_text_tower_of_a_hugging_face_clip_model_is_unchanged():
    transformers = pytest.importorskip("transformers", reason="extra 'huggingface' not installed")
    from perceptinit.library.adapters import adapt

    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
    vision = small | {"num_attention_heads": 2, "image_size": 32, "patch_size": 8}
    config = transformers.CLIPConfig(
        text_config=small | {"num_attention_heads": 2, "vocab_size": 99, "eos_token_id": 98},
        vision_config=vision,
        projection_dim=16,
    )
    model = transformers.CLIPModel(config).eval()
    tower = adapt(model).eval()
    images = torch.rand(2, 3, 32, 32)
    wanted = model.get_image_features(pixel_values=tower.normalize(images))
    wanted = getattr(wanted, "pooler_output", wanted)  # transformers 4 returns the tensor
    torch.testing.assert_close(tower.encode_image(images), wanted)
    assert not [n for n, _ in tower.named_parameters() if "text" in n or "logit" in n]


TWO_PROCESSES = """
import os, sys, timm, torch
from torch.nn.parallel import DistributedDataParallel
from perceptinit import apply_perceptual_init, build
from perceptinit.files.checkpoints import weights_sha256
rank, store = int(sys.argv[1]), sys.argv[2]
torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
torch.manual_seed(rank)
model = timm.create_model("vit_tiny_patch16_224", img_size=32, patch_size=16, embed_dim=32, depth=1, num_heads=2)
model = DistributedDataParallel(model)
judgments = ("synthetic", {"num_train": 16, "num_val": 8, "num_test": 1})
apply_perceptual_init(model, judgments=judgments, epochs=1, batch_size=8, seed=rank, cache=False, progress=False)
start = weights_sha256(model)
model(torch.full((2, 3, 32, 32), float(rank))).sum().backward()
print(start, model.module.norm.weight.grad.sum().item())
"""


@pytest.mark.slow
def test_processes_of_a_ddp_model_have_equal_weights_and_can_continue_training(tmp_path):
    # seeds differ on purpose: without the broadcast, the weights would also differ
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", TWO_PROCESSES]
    processes = [
        subprocess.Popen([*command, str(rank), str(tmp_path / "store")], env=env, stdout=-1, text=True)
        for rank in (0, 1)
    ]
    first, second = (p.communicate(timeout=200)[0] for p in processes)
    assert first.split()
    assert first == second


def test_another_set_is_measured_and_not_trained_on():
    reports = []
    for also_on in (None, ("synthetic", {"num_train": 1, "num_val": 30, "num_test": 1, "seed": 3})):
        torch.manual_seed(0)
        reports.append(apply_quickly(timm_vit()[0], also_on=also_on))
    assert reports[0].sha256_after == reports[1].sha256_after
    assert "from_cache" not in reports[1].metrics
    assert reports[1].metrics["also_on_2afc_judgments"] == 30
    with pytest.raises(UsageError, match="does not measure other judgments"):
        apply_perceptual_init(timm_vit()[0], "mimetic", also_on=TINY)
