"""Estimates of GPU pretraining: figures computed by hand, error messages, and the table in the documentation."""

from types import SimpleNamespace

import pytest
import scaling
import torch
from helpers.tiny_recipes import RECIPE
from perceptinit_estimate.dry_run import dry_runs, table

from perceptinit.companion import Tracer, load_recipe
from perceptinit.plugin import Pair, UsageError

# without its plug-in of one file
TINY = RECIPE.replace('plugins = ["local.py"]\n', "").replace('[[track]]\nuse = "local/spy"\n', "")


def recipe(folder, **overrides):
    (folder / "tiny.toml").write_text(TINY)
    keys = [f"pretrain.{name}={value}" for name, value in overrides.items()]
    return load_recipe(folder / "tiny.toml", keys)


def test_state_traffic_and_arithmetic_are_computed_from_the_recipe(tmp_path):
    one, four = dry_runs(recipe(tmp_path, batch_size=32), [1, 4], 80.0)
    parameters = one.cost.num_parameters
    assert one.state_bytes(0) == 16 * parameters
    assert one.traffic() == {}
    assert four.rows == 8
    assert four.traffic()["all-reduce of gradients"] == pytest.approx(2 * 3 / 4 * 4 * parameters)
    texts = one.cost.text_flops * one.text_share
    assert one.executed_flops == pytest.approx(3 * (one.cost.image_flops + texts))
    (micro,) = dry_runs(recipe(tmp_path, batch_size=32, micro_batch=8), [1], 80.0)
    assert micro.executed_flops == pytest.approx(4 / 3 * one.executed_flops)
    assert micro.activation_bytes(8) < one.activation_bytes(0)


def test_activations_are_traced_in_the_precision_of_the_recipe(tmp_path):
    (small,) = dry_runs(recipe(tmp_path), [1], 80.0)
    (half,) = dry_runs(recipe(tmp_path, precision='"bf16"'), [1], 80.0)
    assert 0 < half.tracer.image.per_row < small.tracer.image.per_row
    assert 0 < half.text.per_row < small.text.per_row


def test_the_peak_memory_covers_forward_and_backward_pass(tmp_path):
    tracer = Tracer(recipe(tmp_path), "fp32")
    scale = tracer.model.logit_scale
    tracer.model.encode_image = lambda images: (images.float() * scale).exp()
    floats = 4 * 3 * tracer.model.image_size**2
    # the forward pass stores at most the pixels, the product and the result. The backward pass stores the pixels,
    # the result, the gradient of the product, and this gradient times the pixels, which is summed for the scale
    assert tracer.image.per_row == pytest.approx(4 * floats, rel=1e-6)


def test_captions_count_as_packed_rows(tmp_path):
    tracer = Tracer(recipe(tmp_path), "fp32")
    texts = ["a a a a", "a", "a", "a"]  # 6 and 3 tokens, with the start and the end token
    pairs = SimpleNamespace(num_pairs=4, pair=lambda index: Pair(key="", image=None, text=texts[index]))
    # rows of 6 tokens: the first text, two texts, and one text with padding
    assert tracer.packed_share(pairs) == 3 * 6 / (4 * 16)
    assert tracer.packed_share(None) == 1


def test_fsdp_shards_the_state_and_gathers_weights(tmp_path):
    (run,) = dry_runs(recipe(tmp_path, batch_size=32, sharding='"fsdp"'), [4], 80.0)
    whole_copy = 4 * run.cost.num_parameters
    assert run.state_bytes(0) == 16 / 4 * run.cost.num_parameters + whole_copy
    largest = max(run.cost.num_image_parameters, run.cost.num_text_parameters)
    assert run.state_bytes(2) == run.state_bytes(0) + 4 * largest  # gradients, until the last part
    assert run.traffic()["all-gather of weights"] == pytest.approx(2 * 3 / 4 * 4 * run.cost.num_parameters)


def test_the_largest_micro_batch_is_the_last_that_fits(tmp_path):
    (run,) = dry_runs(recipe(tmp_path, batch_size=32), [1], 80.0)
    tight = (run.total_bytes(5) + run.total_bytes(6)) / 2 / 1e9 / 0.85
    (run,) = dry_runs(recipe(tmp_path, batch_size=32), [1], tight)
    assert run.largest_micro_batch() == 5
    too_much, too_fast = run.warnings()
    assert "with no micro_batch (traced without grad_checkpointing) is more than 85% of" in too_much
    assert "Set micro_batch = 5 or less" in too_much
    assert "but kernel launches take" in too_fast


@pytest.mark.parametrize(
    ("worlds", "memory", "reason"),
    [
        ([64], 80.0, "batch_size = 32 is not divisible by 64 GPUs"),
        ([5], 80.0, "batch_size = 32 is not divisible by 5 GPUs"),
        ([1], 1e-6, "weights, gradients, AdamW and the batch alone take"),
    ],
)
def test_impossible_settings_are_reported(worlds, memory, reason, tmp_path):
    with pytest.raises(UsageError, match=reason):
        dry_runs(recipe(tmp_path, batch_size=32), worlds, memory)


def test_every_figure_states_its_method_and_global_settings_are_restored(tmp_path):
    before = torch.get_default_dtype(), torch.is_grad_enabled()
    lines = table(dry_runs(recipe(tmp_path, batch_size=32), [1, 4], 80.0))
    assert lines[0] == "|  |  | 1 GPU | 4 GPUs |"
    hows = {line.split(" | ")[1] for line in lines[2:]}
    assert hows == {"computed", "traced", "measured"}
    assert (torch.get_default_dtype(), torch.is_grad_enabled()) == before


def test_the_command_prints_the_table_and_refuses_a_recipe_without_pretraining(cli, tmp_path):
    (tmp_path / "tiny.toml").write_text(TINY)
    done = cli("estimate", "tiny.toml", "--world", "2")
    assert done.returncode == 0, done.stderr
    assert "| total memory | traced |" in done.stdout
    fitting = "0.0 GB on one GPU. micro_batch for 24, 40, 80 GB: not needed, not needed, not needed"
    assert f"pi: init.0 triplet-hinge: {fitting}" in done.stdout
    alone = TINY[: TINY.index("[pretrain]")] + TINY[TINY.index("[[eval]]") :]
    (tmp_path / "alone.toml").write_text(alone)
    done = cli("estimate", "alone.toml")
    assert done.returncode == 2
    assert "the pretraining of an image and a text tower" in done.stderr


def test_the_documented_figures_equal_the_output_of_the_command():
    page = scaling.PAGE.read_text()
    assert page == scaling.renewed(page)
