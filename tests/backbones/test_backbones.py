"""Backbones: towers with built-in normalization, packed texts, and errors before a run starts."""

import copy
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from perceptinit.api import build
from perceptinit.backbones.encoders import DualTower
from perceptinit.backbones.fast_modules import PatchConv, SelfAttention, attention
from perceptinit.backbones.open_clip_backbone import OpenClip
from perceptinit.backbones.timm_backbone import Timm
from perceptinit.backbones.token_rows import shared_rows, token_rows
from perceptinit.errors import CheckpointError, RecipeError, UsageError
from perceptinit.files.checkpoints import save_weights, weights_sha256
from perceptinit.protocols.required import find_missing_members
from perceptinit.results.loading import Undrawn
from perceptinit.seeding import named_torch_seed

BACKBONES = [Timm, OpenClip]
every_backbone = pytest.mark.parametrize("backbone", BACKBONES, ids=["timm", "open-clip"])
END = 49407  # CLIP's end token


def tiny(backbone=Timm, seed=0, **changes) -> DualTower:
    with named_torch_seed(seed, "backbone"):
        return backbone(replace(backbone.Config().smoke(), **changes)).build().eval()


def pad(tokens, length=77):
    return torch.nn.functional.pad(tokens, (0, length - tokens.shape[1]))


def record_shapes(model):
    """Return a list that collects the input shapes of the text transformer."""
    shapes = []
    model.text.transformer.transformer.register_forward_pre_hook(
        lambda _, args: shapes.append(tuple(args[0].shape[:2]))
    )
    return shapes


@every_backbone
def test_a_model_implements_the_protocols(backbone):
    model = tiny(backbone)
    assert list(find_missing_members(model)) == []
    assert (model.image_size, model.embed_dim, model.context_length) == (32, 32, 77)
    assert model.encode_image(torch.rand(2, 3, 32, 32)).shape == (2, 32)
    assert model.encode_text(model.tokenize(["a cat", "two dogs", "x"])).shape == (3, 32)


@every_backbone
def test_the_temperature_starts_at_0_07_and_is_learned(backbone):
    logit_scale = tiny(backbone).logit_scale
    assert logit_scale.item() == pytest.approx(math.log(1 / 0.07))
    assert logit_scale.requires_grad


@every_backbone
def test_uint8_and_float_pixels_have_the_same_embedding(backbone):
    model = tiny(backbone)
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    torch.testing.assert_close(model.encode_image(images), model.encode_image(images / 255))


def test_pixels_are_normalized_with_the_mean_and_std_of_the_model():
    tower = tiny(model="vit_tiny_patch16_224.augreg_in21k").image
    assert tower.mean.tolist() == tower.std.tolist() == [0.5, 0.5, 0.5]
    white_black = torch.tensor([255, 0], dtype=torch.uint8).view(1, 1, 1, 2).expand(1, 3, 1, 2)
    # (1 - 0.5) / 0.5 and (0 - 0.5) / 0.5
    torch.testing.assert_close(tower.normalize(white_black)[0, 0, 0], torch.tensor([1.0, -1.0]))


def test_a_recipe_overrides_mean_std_and_activation_of_timm():
    mean, std = (0.25, 0.5, 0.75), (0.5, 0.25, 0.125)
    tower = tiny(mean=mean, std=std, text_quick_gelu=True)
    assert (tower.image.mean.tolist(), tower.image.std.tolist()) == (list(mean), list(std))
    (text,) = {type(block.mlp.gelu).__name__ for block in tower.text.transformer.transformer.resblocks}
    (default,) = {type(b.mlp.gelu).__name__ for b in tiny().text.transformer.transformer.resblocks}
    assert (text, default) == ("QuickGELU", "GELU")


def test_clip_init_draws_the_image_tower_with_the_stds_of_clip():
    wide = {"width": 128, "head_width": 16, "layers": 2, "patch_size": 8}
    tower = tiny(OpenClip, clip_init=True, vision_args=wide).image.trunk
    block = tower.transformer.resblocks[1]
    # of a normal distribution of width^-1/2, (2 layers width)^-1/2, (2 width)^-1/2
    for weight, std in (
        (block.attn.in_proj_weight, 128**-0.5),
        (block.attn.out_proj.weight, 512**-0.5),
        (block.mlp.c_fc.weight, 256**-0.5),
        (block.mlp.c_proj.weight, 512**-0.5),
        (tower.positional_embedding, 0.01),
    ):
        assert weight.std().item() == pytest.approx(std, rel=0.1)
        assert weight.abs().max() > 2.5 * std  # not a uniform distribution
    plain = tiny(OpenClip, vision_args=wide)
    drawn = tiny(OpenClip, clip_init=True, vision_args=wide)
    assert weights_sha256(plain.image) != weights_sha256(drawn.image)


def test_clip_init_is_refused_for_a_timm_tower():
    timm_tower = {"timm_model_name": "vit_tiny_patch16_224", "timm_pool": "", "timm_proj": "linear"}
    with pytest.raises(UsageError, match="clip_init: the image tower of 'ViT-B-32' is not a vision"):
        OpenClip(OpenClip.Config(clip_init=True, vision_args=timm_tower)).build()


def test_normalization_in_chunks_equals_normalization_of_the_whole_batch(monkeypatch):
    tower = tiny().image
    images = torch.randint(0, 256, (7, 3, 32, 32), dtype=torch.uint8)
    at_once = tower.normalize(images)
    monkeypatch.setattr("perceptinit.backbones.encoders.CACHED_VALUES", 2 * 3 * 32 * 32)
    assert torch.equal(tower.normalize(images), at_once)
    side_by_side = images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(tower.normalize(side_by_side), at_once)
    assert tower.normalize(images[:0]).shape == (0, 3, 32, 32)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_reach_float_pixels_of_any_precision(dtype):
    images = torch.rand(2, 3, 32, 32, dtype=dtype, requires_grad=True)
    tower = tiny().image
    (gradient,) = torch.autograd.grad(tower.normalize(images).sum(), images)
    expected = (1 / tower.std).view(3, 1, 1).expand(2, 3, 32, 32).to(dtype)
    torch.testing.assert_close(gradient, expected)


def test_the_normalization_is_saved_with_the_weights():
    assert {"mean", "std"} <= tiny().image.state_dict().keys()


def test_images_of_the_wrong_size_are_refused():
    with pytest.raises(ValueError, match=r"of shape \(B, 3, 32, 32\), got \(1, 3, 16, 16\)"):
        tiny().encode_image(torch.zeros(1, 3, 16, 16))


@every_backbone
def test_weights_depend_on_the_seed_only(backbone):
    assert weights_sha256(tiny(backbone)) == weights_sha256(tiny(backbone))
    assert weights_sha256(tiny(backbone)) != weights_sha256(tiny(backbone, seed=1))


@every_backbone
def test_reset_parameters_redraws_the_image_tower_only(backbone):
    model, other = tiny(backbone), tiny(backbone, seed=5)
    text, image = weights_sha256(model.text), weights_sha256(model.image)
    scale = model.logit_scale.item()
    before = torch.get_rng_state()
    model.image.reset_parameters(seed=7)
    other.image.reset_parameters(seed=7)
    assert torch.equal(before, torch.get_rng_state())
    assert (weights_sha256(model.text), model.logit_scale.item()) == (text, scale)
    assert weights_sha256(model.image) != image
    assert weights_sha256(model.image) == weights_sha256(other.image)


def test_the_text_tower_does_not_depend_on_the_image_model():
    vit, convnext = tiny(), tiny(model="convnext_atto", model_args={})
    assert weights_sha256(vit.text) == weights_sha256(convnext.text)


@every_backbone
def test_trimmed_texts_have_the_embeddings_of_padded_texts(backbone):
    model = tiny(backbone)
    tokens = model.tokenize(["a photo of a dog", "hi!", "one two three four five six seven"])
    assert tokens.shape[1] == 9  # start, seven words, end
    torch.testing.assert_close(
        model.encode_text(tokens), model.text.transformer(pad(tokens)), rtol=0, atol=3e-6
    )


@every_backbone
@pytest.mark.parametrize("pool", ["argmax", "first", "eos"])
def test_packed_texts_have_the_embeddings_and_gradients_of_padded_texts(backbone, pool):
    model = tiny(backbone).double()
    net = model.text.transformer
    net.pool_type, net.eos_id = pool, END
    texts = ["one two three four five six seven", "hi!", "a b c", "no", "a photo of a dog", "x y z"]
    tokens = model.tokenize(texts)
    shapes = record_shapes(model)
    embeddings, parameters = model.encode_text(tokens), list(net.parameters())
    padded = net(pad(tokens))
    # words, start and end: 9, 4, 5, 3, 7, 5 tokens in rows of 9
    assert shapes == [(4, 9), (6, 77)]
    torch.testing.assert_close(embeddings, padded, rtol=0, atol=1e-12)
    gradients = [
        torch.autograd.grad(e.square().sum(), parameters, allow_unused=True) for e in (embeddings, padded)
    ]
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


def test_texts_that_do_not_fit_into_shared_rows_are_not_packed():
    model = tiny()
    shapes = record_shapes(model)
    model.encode_text(model.tokenize(["a photo of a dog", "a dog with a cat", "a photo of me"]))
    assert shapes == [(3, 7)]


def test_common_padding_is_removed_before_the_transformer():
    model = tiny()
    shapes = record_shapes(model)
    model.encode_text(pad(model.tokenize(["hi", "no"])))
    assert shapes == [(2, 3)]


def test_each_token_has_one_position_in_the_packed_rows():
    rows = token_rows(np.array([3, 9, 4, 5, 2]))
    assert rows.text.tolist() == [
        [1, 1, 1, 1, 1, 1, 1, 1, 1],
        [3, 3, 3, 3, 3, 2, 2, 2, 2],
        [0, 0, 0, 4, 4, 5, 5, 5, 5],  # text 5 is padding
    ]
    assert rows.position[2].tolist() == [0, 1, 2, 0, 1, 0, 0, 0, 0]
    assert rows.first.tolist() == [18, 0, 14, 9, 21]


def test_each_common_prefix_has_one_place_in_the_rows_of_inference():
    tokens = np.array([[1, 5, 6, 2], [1, 5, 7, 2], [1, 8, 2, 0]])
    rows = shared_rows(tokens, lengths=np.array([4, 4, 3]), read=np.array([3, 3, 2]))
    assert rows.text.tolist() == [[0, 0, 0, 0, 1, 1, 2, 2]]
    assert rows.position.tolist() == [[0, 1, 2, 3, 2, 3, 1, 2]]
    assert rows.end.tolist() == [[8, 6, 4, 4, 6, 6, 8, 8]]
    assert rows.first.tolist() == [3 - 3, 5 - 3, 7 - 2]


@every_backbone
@pytest.mark.parametrize("pool", ["argmax", "first", "eos"])
def test_texts_with_common_prefixes_have_the_embeddings_of_padded_texts(backbone, pool):
    model = tiny(backbone).double().eval()
    net = model.text.transformer
    net.pool_type, net.eos_id = pool, END
    tokens = model.tokenize(
        [f"a photo of {what}" for what in ("a cat", "a cat", "a dog", "me")] * 6 + ["hi!"]
    )
    with torch.no_grad():
        torch.testing.assert_close(model.encode_text(tokens), net(pad(tokens)), rtol=0, atol=1e-12)


def test_pixels_normalized_by_the_patch_embedding_have_the_embeddings_of_normalized_pixels():
    model = OpenClip(OpenClip.Config().smoke()).build().eval().double()
    images = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        torch.testing.assert_close(
            model.encode_image(images), model.encode_image(images.double() / 255), rtol=0, atol=1e-12
        )


def test_packed_rows_of_many_texts_contain_less_than_2_percent_padding():
    lengths = np.clip(np.random.default_rng(0).lognormal(2.1, 0.6, 1000), 3, 77).astype(int)
    rows = token_rows(lengths)
    texts, counts = np.unique(rows.text[rows.text < 1000], return_counts=True)
    assert texts.tolist() == list(range(1000))
    assert counts.tolist() == lengths.tolist()
    assert lengths.sum() > 0.98 * rows.text.size


def test_self_attention_equals_torchs_module():
    torch.manual_seed(0)
    ours = SelfAttention(torch.nn.MultiheadAttention(32, 4, batch_first=True)).double()
    theirs = torch.nn.MultiheadAttention(32, 4, batch_first=True).double()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(3, 5, 32, dtype=torch.float64)
    causal = torch.full((5, 5), -torch.inf, dtype=torch.float64).triu(1)
    for mask in (None, causal, causal.expand(12, 5, 5)):
        outcomes = []
        for module in (ours, theirs):
            output = module(x, x, x, need_weights=False, attn_mask=mask)[0]
            gradients = torch.autograd.grad(output.square().sum(), list(module.parameters()))
            outcomes.append([output, *gradients])
        torch.testing.assert_close(*outcomes, rtol=0, atol=1e-12)


def test_cross_attention_uses_torchs_module():
    torch.manual_seed(0)
    ours = SelfAttention(torch.nn.MultiheadAttention(32, 4, batch_first=True))
    theirs = torch.nn.MultiheadAttention(32, 4, batch_first=True)
    theirs.load_state_dict(ours.state_dict())
    x, y = torch.randn(3, 5, 32), torch.randn(3, 7, 32)
    is_hidden = torch.ones(5, 5, dtype=torch.bool).triu(1)
    for inputs, options in (
        ((x, y, y), {}),
        ((x, x, x), {"need_weights": True}),
        ((x, x, x), {"need_weights": False, "attn_mask": is_hidden}),
    ):
        given = [module(*inputs, **options) for module in (ours, theirs)]
        torch.testing.assert_close(*given, rtol=0, atol=0)


@pytest.mark.parametrize("is_masked", [False, True])
def test_bfloat16_attention_is_as_accurate_as_the_fused_kernel(is_masked):
    torch.manual_seed(0)
    exact = [(scale * torch.randn(4, 3, 20, 16)).bfloat16().double() for scale in (3, 1, 1)]
    mask = torch.full((20, 20), -torch.inf).triu(1) if is_masked else None
    weight = torch.randn(4, 3, 20, 16, dtype=torch.float64)

    def outcome(attend, dtype):
        inputs = [t.to(dtype).requires_grad_() for t in exact]
        output = attend(*inputs, None if mask is None else mask.to(dtype))
        return [output, *torch.autograd.grad((output * weight.to(dtype)).sum(), inputs)]

    fused = torch.nn.functional.scaled_dot_product_attention
    truth = outcome(fused, torch.float64)
    ours, theirs = (outcome(attend, torch.bfloat16) for attend in (attention, fused))
    for value, peer, right in zip(ours, theirs, truth, strict=True):
        error, peer_error = ((v.double() - right).norm() / right.norm() for v in (value, peer))
        assert error < 1.5 * peer_error


def test_attention_of_timm_is_unfused_in_bfloat16_training_alone():
    torch.manual_seed(0)
    trunk = tiny().image.trunk
    block = trunk.blocks[0].attn
    images = torch.randn(2, 3, 32, 32)
    used, outputs = [], []
    for is_bfloat16, has_gradients in ((True, True), (True, False), (False, True)):
        with (
            torch.autocast("cpu", torch.bfloat16, enabled=is_bfloat16),
            torch.set_grad_enabled(has_gradients),
        ):
            outputs.append(trunk(images).detach().float())
        used.append(block.fused_attn)
    assert used == [False, True, True]
    unfused, fused, exact = outputs
    assert (unfused - exact).norm() < 1.5 * (fused - exact).norm()


@every_backbone
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_patch_product_equals_the_convolution(backbone, memory_format):
    trunk = tiny(backbone).double().image.trunk
    convolution = next(m for m in trunk.modules() if isinstance(m, PatchConv))
    plain = torch.nn.Conv2d(3, 32, 8, 8, bias=convolution.bias is not None).double()
    plain.load_state_dict(convolution.state_dict())
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64).to(memory_format=memory_format)
    images.requires_grad_()
    outcomes = []
    for module in (convolution, plain):
        output = module(images)
        inputs = [images, *module.parameters()]
        outcomes.append([output, *torch.autograd.grad(output.square().sum(), inputs)])
    torch.testing.assert_close(*outcomes, rtol=0, atol=1e-11)


def test_kernels_of_a_network_are_in_channels_last_and_weights_and_embeddings_are_equal():
    last = tiny(model="test_resnet", model_args={}).double()
    plain = copy.deepcopy(last).to(memory_format=torch.contiguous_format)
    kernels = [m.weight for m in last.image.trunk.modules() if isinstance(m, torch.nn.Conv2d)]
    assert all(k.is_contiguous(memory_format=torch.channels_last) for k in kernels)
    assert not all(k.is_contiguous() for k in kernels)
    assert weights_sha256(last) == weights_sha256(plain)
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    torch.testing.assert_close(last.encode_image(images), plain.encode_image(images), rtol=0, atol=1e-11)


@every_backbone
def test_a_model_built_without_random_draws_is_complete_after_loading_weights(backbone):
    drawn = tiny(backbone)
    with Undrawn():
        model = tiny(backbone)
    model.load_state_dict(drawn.state_dict())
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    tokens = model.tokenize(["a dog", "two black cats"])
    assert torch.equal(model.encode_image(images), drawn.encode_image(images))
    assert torch.equal(model.encode_text(tokens), drawn.encode_text(tokens))


def test_undrawn_modules_do_not_advance_the_generator():
    before = torch.get_rng_state()
    with Undrawn():
        torch.nn.Linear(3, 3)
        torch.nn.Embedding(5, 3)
        torch.nn.init.normal_(torch.empty(3), std=0.02)
    assert torch.equal(torch.get_rng_state(), before)


def test_undrawn_truncated_normals_still_terminate():
    weights = torch.full((3,), 100.0)
    with Undrawn():
        torch.nn.init.trunc_normal_(weights, std=0.02)
    assert weights.abs().max() < 2


def test_texts_are_padded_to_the_full_context_without_a_causal_mask():
    model = tiny(OpenClip, text_args={"width": 32, "heads": 2, "layers": 1, "no_causal_mask": True})
    assert not model.text.can_be_trimmed
    assert model.tokenize(["a dog"]).shape == (1, 77)
    tokens = torch.tensor([[49406, 320, 1929, END]])
    assert torch.equal(model.encode_text(tokens), model.encode_text(pad(tokens)))


def test_a_long_text_is_truncated_and_keeps_its_end_token():
    tokens = tiny(context_length=8).tokenize(["word " * 50, "short"])
    assert tokens.shape == (2, 8)
    assert tokens[0, -1] == END
    assert tokens[1].tolist() == [49406, 3005, END, 0, 0, 0, 0, 0]


def test_a_token_with_id_zero_is_not_padding():
    assert tiny().tokenize(["!^"]).tolist() == [[49406, 0, 317, END]]  # '!' is CLIP's id 0


def test_more_tokens_than_the_context_are_refused():
    with pytest.raises(ValueError, match="got 78 tokens, but context_length is 77"):
        tiny().encode_text(torch.zeros(1, 78, dtype=torch.int64))


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", "mobilenetv3_small_050"])
def test_timm_models_without_patches_accept_the_image_size_of_the_recipe(name):
    model = tiny(model=name, model_args={}, image_size=48)
    assert model.encode_image(torch.rand(2, 3, 48, 48)).shape == (2, 32)


def test_a_timm_model_can_be_built_on_the_meta_device():
    with torch.device("meta"):
        model = Timm(Timm.Config()).build()
    assert sum(p.numel() for p in model.parameters()) == 151_277_313  # CLIP ViT-B/32, as published


def test_an_unknown_timm_model_is_reported_with_the_nearest_name():
    backbone = Timm(Timm.Config(model="vit_tiny_patch16_242"))
    message = "timm has no model 'vit_tiny_patch16_242'. Did you mean 'vit_tiny_patch16_224'?"
    assert [p.startswith(message) for p in backbone.preflight()] == [True]
    with pytest.raises(UsageError, match="Did you mean 'vit_tiny_patch16_224'"):
        backbone.build()


def test_preflight_reports_arguments_that_timm_refuses():
    backbone = Timm(Timm.Config(model="vit_tiny_patch16_224", model_args={"num_heads": 5}))
    [problem] = backbone.preflight()
    assert problem == (
        "timm cannot build 'vit_tiny_patch16_224' with {'num_heads': 5}: dim should be divisible by num_heads"
    )


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (
            {"text_width": 100, "text_heads": 8},
            "backbone: text_heads = 8 does not divide text_width = 100",
        ),
        (
            {"model_args": {"img_size": 64}},
            "backbone: model_args.img_size is not supported: use image_size",
        ),
    ],
)
def test_incompatible_keys_of_the_timm_backbone_are_reported(table, sentence):
    with pytest.raises(RecipeError) as error:
        build("backbone", {"use": "timm", **table})
    assert str(error.value) == sentence


def test_an_unknown_open_clip_model_is_reported_with_the_nearest_name():
    [problem] = OpenClip(OpenClip.Config(model="ViT-B32")).preflight()
    assert problem.startswith("open_clip has no model 'ViT-B32'. Did you mean 'ViT-B-32'?")


def test_a_coca_model_is_refused():
    [problem] = OpenClip(OpenClip.Config(model="coca_ViT-B-32")).preflight()
    assert problem == (
        "open_clip model 'coca_ViT-B-32' with a generative tower (CoCa) is not supported. Choose another model"
    )


def test_weights_trained_with_a_different_activation_are_refused():
    [problem] = OpenClip(OpenClip.Config(model="ViT-B-32", pretrained="openai")).preflight()
    assert problem == (
        "pretrained = 'openai' was trained with QuickGELU, unlike model 'ViT-B-32'. "
        "Use the model name with -quickgelu"
    )


def test_an_open_clip_model_is_read_from_a_json_file(tmp_path):
    path = tmp_path / "mine.json"
    vision = {"image_size": 16, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8}
    text = {"context_length": 20, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
    table = {"embed_dim": 24, "vision_cfg": vision, "text_cfg": text}
    path.write_text(json.dumps({"model_cfg": table, "preprocess_cfg": {"mean": [0.5, 0.4, 0.3]}}))
    model = OpenClip(OpenClip.Config(model=str(path))).build()
    assert (model.image_size, model.embed_dim, model.context_length) == (16, 24, 20)
    torch.testing.assert_close(model.image.mean, torch.tensor([0.5, 0.4, 0.3]))


def test_a_json_file_without_a_model_is_reported(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text('{"embed_dim": 24}')
    [problem] = OpenClip(OpenClip.Config(model=str(path))).preflight()
    assert problem == (f"{path}: not an open_clip configuration, missing vision_cfg, text_cfg")


def test_a_timm_tower_inside_open_clip_accepts_the_image_size_of_the_recipe():
    model = tiny(
        OpenClip,
        vision_args={"timm_model_name": "vit_tiny_patch16_224", "timm_pool": "", "image_size": 224},
        image_size=64,
    )
    assert model.encode_image(torch.rand(1, 3, 64, 64)).shape == (1, 32)


def open_clip_weights(model):
    """Return the weights under their open_clip names."""
    state = {k.replace("image.trunk.", "visual."): v for k, v in model.state_dict().items()}
    state = {k.replace("text.transformer.", "text.", 1): v for k, v in state.items()}
    return {k: v for k, v in state.items() if not k.startswith("image.")}


def test_published_weights_are_loaded_from_a_safetensors_file(tmp_path):
    source = tiny(OpenClip, seed=3)
    with torch.no_grad():
        source.logit_scale.fill_(4.0)
    save_weights(tmp_path / "clip.safetensors", open_clip_weights(source))
    model = tiny(OpenClip, pretrained=str(tmp_path / "clip.safetensors"))
    assert weights_sha256(model) == weights_sha256(source)
    model.image.reset_parameters(seed=0)  # fresh means fresh, not published
    assert weights_sha256(model.image) != weights_sha256(source.image)


def test_published_weights_are_not_downloaded_on_the_meta_device():
    with torch.device("meta"):
        model = OpenClip(OpenClip.Config(pretrained="laion2b_s34b_b79k")).build()
    assert model.logit_scale.is_meta


def test_weights_of_a_different_model_are_refused(tmp_path):
    path = tmp_path / "clip.safetensors"
    save_weights(path, {"visual.proj": torch.zeros(3, 3), "logit_scale": torch.tensor(1.0)})
    with pytest.raises(CheckpointError, match=r"clip\.safetensors does not fit open_clip model"):
        tiny(OpenClip, pretrained=str(path))


def test_open_clip_without_a_network_suggests_a_local_file(monkeypatch):
    def fetch(*_, **__):
        raise FileNotFoundError("offline")

    monkeypatch.setattr("open_clip.download_pretrained", fetch)
    with pytest.raises(CheckpointError, match=r"'openai' .* \(offline\).*set 'pretrained' to a local \.safe"):
        OpenClip(OpenClip.Config(model="ViT-B-32-quickgelu", pretrained="openai")).build()


def test_preflight_reports_a_missing_weights_file(tmp_path):
    path = tmp_path / "absent.safetensors"
    [problem] = OpenClip(OpenClip.Config(pretrained=str(path))).preflight()
    assert problem == f"pretrained = '{path}': no such file"


def test_torch_has_the_private_names_that_fast_modules_use():
    attention = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    assert attention._qkv_same_embed_dim is True
    grad, p = torch.randn(2, 3), torch.rand(2, 3).softmax(-1)
    by_hand = p * (grad - (grad * p).sum(-1, keepdim=True))
    ours = torch._softmax_backward_data(grad, p, -1, p.dtype)
    torch.testing.assert_close(ours, by_hand)


def test_a_text_tower_without_pooling_averages_all_tokens_and_starts_at_the_stated_temperature():
    args = {"width": 32, "heads": 2, "layers": 1, "context_length": 8, "no_causal_mask": True}
    small = OpenClip.Config().smoke()
    model = OpenClip(
        replace(small, text_args=args | {"pool_type": "none"}, init_logit_scale=100.0)
    ).build().eval()  # fmt: skip
    tokens = model.tokenize(["a red cup", "a dog"])
    whole = torch.nn.functional.pad(tokens, (0, 8 - tokens.shape[1]))
    expected = model.text.transformer(whole).mean(dim=1)
    torch.testing.assert_close(model.encode_text(tokens), expected)
    assert model.logit_scale.exp().item() == pytest.approx(100.0)
