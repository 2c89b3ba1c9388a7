"""Keys for precision, speed and trained parameters have their documented effects."""

from contextlib import ExitStack
from dataclasses import replace

import pytest
import torch
from helpers.clip import CONFIG, Colours, context, model, train

from perceptinit.api import build
from perceptinit.compute import optim
from perceptinit.errors import RecipeError, TrainingError
from perceptinit.files.checkpoints import load_state, save_state, weights_sha256
from perceptinit.pretrainers.clip import Clip
from perceptinit.pretrainers.preparation import PatchDropout


def prepared(config, tower=None):
    """Return the prepared training of `steps`, and the stack that reverts the preparation."""
    stack = ExitStack()
    return Clip(config, Colours())._prepare(stack, tower or model(), context()), stack


def dtypes_of_blocks(precision):
    """Return the dtypes of the first linear layer of a block during a step."""
    tower, seen = model(), []
    layer = tower.image.trunk.blocks[0].mlp.fc1
    layer.register_forward_hook(lambda module, args, output: seen.append(output.dtype))
    _, results = train(tower, replace(CONFIG, precision=precision), stop=1)
    assert torch.isfinite(results[0].metrics["loss"])
    assert all(weight.dtype == torch.float32 for weight in tower.parameters())
    return seen


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [
        ("fp32", torch.float32),
        ("tf32", torch.float32),
        ("bf16", torch.bfloat16),
        ("fp16", torch.float16),
    ],
)
def test_towers_compute_in_the_precision_with_float32_weights(precision, dtype):
    assert dtypes_of_blocks(precision) == [dtype]


def test_tf32_is_enabled_within_a_step_only():
    tower, seen = model(), []
    ask = lambda *_: seen.append(torch.get_float32_matmul_precision())  # noqa: E731
    tower.text.register_forward_pre_hook(ask)
    tower.image.projection.weight.register_hook(ask)  # in the backward pass
    train(tower, replace(CONFIG, precision="tf32"), stop=1)
    assert seen == ["high", "high"]
    assert torch.get_float32_matmul_precision() == "highest"


def test_fp16_scales_the_loss_and_saves_the_scale():
    clip, results = train(model(), replace(CONFIG, precision="fp16"))
    assert clip.state_dict()["scaler"]["scale"] > 1
    assert float(results[-1].metrics["grad_norm"]) < 100  # the norm of the unscaled gradients


def test_compile_uses_torch_compile_and_has_the_same_weights():
    # float64: a bias of the keys does not change the softmax, so its gradient is rounding noise, but AdamW makes
    # full steps of it in float32
    compiled, plain = model().double(), model().double()
    torch._dynamo.reset()
    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    train(compiled, replace(CONFIG, compile="eager"), stop=2)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= before + 2  # two towers
    train(plain, CONFIG, stop=2)
    torch.testing.assert_close(compiled.state_dict(), plain.state_dict(), rtol=0, atol=1e-8)


def test_grad_checkpointing_runs_blocks_twice_and_has_the_same_weights():
    def calls(wanted):
        tower, count = model(), []
        tower.image.trunk.blocks[0].register_forward_pre_hook(lambda *_: count.append("image"))
        block = tower.text.transformer.transformer.resblocks[0]
        block.register_forward_pre_hook(lambda *_: count.append("text"))
        train(tower, replace(CONFIG, grad_checkpointing=wanted), stop=1)
        return sorted(count), weights_sha256(tower), tower

    once, twice = calls(False), calls(True)
    assert once[0] == ["image", "text"]
    assert twice[0] == ["image", "image", "text", "text"]
    assert twice[1] == once[1]
    assert not twice[2].image.trunk.grad_checkpointing  # restored after training


def test_patch_dropout_hides_patches_in_training_only():
    tower, seen = model(), []
    block = tower.image.trunk.blocks[0]
    block.register_forward_pre_hook(lambda module, args: seen.append(args[0].shape[1]))
    steps = Clip(replace(CONFIG, patch_dropout=0.5), Colours()).steps(tower, context())
    next(steps)
    tower.eval()
    tower.encode_image(torch.zeros(1, 3, 16, 16, dtype=torch.uint8))
    assert seen == [3, 5]  # a class token and 2 of 4 patches; then all of them
    steps.close()
    assert not any(isinstance(module, PatchDropout) for module in tower.modules())


def test_dropped_patches_depend_on_position_in_the_batch_and_step():
    dropout = PatchDropout(0.5, num_prefix_tokens=0)
    tokens = torch.arange(8.0).reshape(1, 8, 1).expand(6, 8, 1)

    def kept(step, first, num):
        dropout.at(0, "pretrain", step, first, 6)
        return dropout(tokens[:num]).squeeze(2)

    assert kept(1, 0, 6).shape == (6, 4)
    assert torch.equal(kept(1, 0, 6), torch.cat([kept(1, 0, 4), kept(1, 4, 2)]))
    assert not torch.equal(kept(1, 0, 6), kept(2, 0, 6))


def test_patch_dropout_supports_the_vision_transformer_of_open_clip():
    from perceptinit.backbones.open_clip_backbone import OpenClip

    tower, seen = OpenClip(OpenClip.Config().smoke()).build(), []
    block = tower.image.trunk.transformer.resblocks[0]
    block.register_forward_pre_hook(lambda module, args: seen.append(args[0].shape[1]))
    train(tower, replace(CONFIG, patch_dropout=0.75), stop=1)
    assert seen == [5]  # a class token and 4 of 16 patches


def test_patch_dropout_of_a_tower_without_patches_is_refused():
    from perceptinit.backbones.timm_backbone import Timm

    tower = Timm(replace(Timm.Config(), model="resnet18", text_layers=1)).build()
    for config, sentence in (
        (
            replace(CONFIG, patch_dropout=0.5),
            "patch_dropout: the image tower is not a vision transformer",
        ),
        (
            replace(CONFIG, micro_batch=4),
            "micro_batch: batch norm would compute its statistics over a micro-batch",
        ),
    ):
        with pytest.raises(TrainingError, match=sentence):
            next(Clip(config, Colours()).steps(tower, context()))


@pytest.mark.parametrize("fused", [True, False])
def test_fused_chooses_the_kernel(fused):
    training, _ = prepared(replace(CONFIG, fused=fused))
    assert training._optimizer.defaults["fused"] is fused


def test_the_weight_average_follows_the_formula_and_is_the_final_model():
    config = replace(CONFIG, epochs=1, ema_decay=0.9)  # three steps
    tower = model()
    expected = tower.image.projection.weight.detach().clone()
    clip = Clip(config, Colours())
    for result in clip.steps(tower, context()):
        last = tower.image.projection.weight.detach().clone()
        expected = 0.9 * expected + 0.1 * last
        if result.step == 2:
            with clip.evaluated():
                torch.testing.assert_close(tower.image.projection.weight.detach(), expected)
            assert torch.equal(tower.image.projection.weight, last)
    torch.testing.assert_close(tower.image.projection.weight.detach(), expected)
    assert not torch.equal(tower.image.projection.weight, last)


@pytest.mark.parametrize("options", [{"ema_decay": 0.9}, {"precision": "fp16"}, {"layer_decay": 0.5}])
def test_a_run_with_these_keys_continues_exactly(tmp_path, options):
    config = replace(CONFIG, **options)
    whole = model()
    train(whole, config)
    first = model()
    clip, _ = train(first, config, stop=4)
    save_state(tmp_path / "s.safetensors", {"p": clip.state_dict(), "m": first.state_dict()})
    state = load_state(tmp_path / "s.safetensors")
    second = model(seed=5)
    second.load_state_dict(state["m"])
    train(second, config, state=state["p"])
    assert weights_sha256(second) == weights_sha256(whole)


def test_layer_decay_lowers_the_learning_rate_toward_the_input():
    tower = model(depth=2)
    scales = optim.layer_lr_scales(tower.image, 0.5)
    by_name = {name: scales[p] for name, p in tower.image.named_parameters()}
    assert by_name["trunk.pos_embed"] == by_name["trunk.patch_embed.proj.weight"] == 0.125
    assert by_name["trunk.blocks.0.attn.qkv.weight"] == 0.25
    assert by_name["trunk.blocks.1.mlp.fc1.bias"] == 0.5
    assert by_name["trunk.norm.weight"] == by_name["projection.weight"] == 1.0

    training, _ = prepared(replace(CONFIG, layer_decay=0.5), tower)
    rate_of = {id(p): group["lr"] for group in training._optimizer.param_groups for p in group["params"]}
    optim.set_lr(training._optimizer, training._rate(2))  # the end of the warm-up
    groups = training._optimizer.param_groups
    rate_of = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert rate_of[id(tower.image.trunk.blocks[0].attn.qkv.weight)] == pytest.approx(2.5e-4)
    assert rate_of[id(tower.text.transformer.text_projection)] == pytest.approx(1e-3)
    assert rate_of[id(tower.logit_scale)] == pytest.approx(1e-3)


def test_layer_decay_treats_the_projection_of_open_clip_as_the_last_layer():
    from perceptinit.backbones.open_clip_backbone import OpenClip

    tower = OpenClip(OpenClip.Config().smoke()).build().image
    scales = optim.layer_lr_scales(tower, 0.5)
    by_name = {name: scales[p] for name, p in tower.named_parameters()}
    assert by_name["trunk.class_embedding"] == by_name["trunk.conv1.weight"] == 0.25
    assert by_name["trunk.transformer.resblocks.0.mlp.c_fc.weight"] == 0.5
    assert by_name["trunk.proj"] == by_name["trunk.ln_post.weight"] == 1.0


@pytest.mark.parametrize(("lock", "other"), [("image", "text"), ("text", "image")])
def test_a_locked_tower_is_unchanged(lock, other):
    tower = model()
    before = {name: weights_sha256(getattr(tower, name)) for name in ("image", "text")}
    scale = tower.logit_scale.item()
    train(tower, replace(CONFIG, lock=lock), stop=2)
    assert weights_sha256(getattr(tower, lock)) == before[lock]
    assert weights_sha256(getattr(tower, other)) != before[other]
    assert tower.logit_scale.item() != scale
    train(tower, replace(CONFIG, lock=lock))
    assert all(parameter.requires_grad for parameter in tower.parameters())


def test_a_locked_tower_is_in_eval_mode():
    tower, modes = model(), []
    tower.image.register_forward_pre_hook(lambda module, args: modes.append(module.training))
    train(tower, replace(CONFIG, lock="image"), stop=1)
    assert modes == [False]


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (
            {"precision": "fp16", "sharding": "fsdp"},
            'sharding = "fsdp" does not support precision = "fp16"',
        ),
        ({"ema_decay": 1.0}, "pretrainer.ema_decay: should be less than 1, got 1.0"),
        ({"layer_decay": 0.0}, "pretrainer.layer_decay: should be greater than 0, got 0.0"),
    ],
)
def test_incompatible_keys_are_reported(table, sentence):
    with pytest.raises(RecipeError) as error:
        build("pretrainer", {"use": "clip", **table, "pairs": {"use": "synthetic"}})
    assert sentence in str(error.value)
