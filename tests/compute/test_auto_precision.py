"""`precision = "auto"`: bf16 where a device multiplies it natively, else fp32, and what a run states of it."""

import pytest
import torch
from helpers.made_runs import three_by_three, write
from helpers.stage_one import Heard, TinyTower, hinge_initializer

from perceptinit.analysis.compare import compare
from perceptinit.analysis.environments import find_unlike
from perceptinit.compute import optim
from perceptinit.compute.optim import autocast, choose_precision, has_native_bf16, measure_bf16_slowdown
from perceptinit.recipe.reading import load_recipe
from perceptinit.results.record import environment
from perceptinit.results.runs import load_runs
from perceptinit.running import readiness


@pytest.fixture
def emulated(monkeypatch):
    """A processor that emulates products of bf16."""
    monkeypatch.setattr(optim, "has_native_bf16", lambda device: False)
    monkeypatch.setattr(readiness, "has_native_bf16", lambda device: False)


def test_auto_is_bf16_where_it_is_native(monkeypatch):
    monkeypatch.setattr(optim, "has_native_bf16", lambda device: device == "cuda")
    assert choose_precision("auto", "cuda:1") == "bf16"
    assert choose_precision("auto", "cpu") == "fp32"
    assert choose_precision("fp16", "cpu") == "fp16"


@pytest.mark.parametrize(
    ("machine", "instructions", "is_native"),
    [
        ("x86_64", (), False),
        ("x86_64", ("avx512_bf16",), True),
        ("AMD64", ("amx_tile",), True),
        ("aarch64", (), True),
    ],
)
def test_a_processor_has_native_bf16_by_its_instructions(machine, instructions, is_native, monkeypatch):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True, raising=False)
    monkeypatch.setattr(optim.platform, "machine", lambda: machine)
    for name in ("avx512_bf16", "amx_tile"):
        monkeypatch.setattr(torch.cpu, f"_is_{name}_supported", lambda name=name: name in instructions)
    assert has_native_bf16.__wrapped__("cpu") == is_native


def test_other_devices_use_fp32():
    assert not has_native_bf16("meta")


@pytest.mark.parametrize("is_native", [True, False])
def test_autocast_uses_the_chosen_precision(is_native, monkeypatch):
    monkeypatch.setattr(optim, "has_native_bf16", lambda device: is_native)
    with autocast("cpu", "auto"):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if is_native else torch.float32)


def test_the_record_states_what_auto_selects(emulated):
    assert environment("cpu")["auto_precision"] == "fp32"


def test_bf16_on_a_processor_that_emulates_it_is_a_warning(emulated, monkeypatch):
    monkeypatch.setattr(readiness, "measure_bf16_slowdown", lambda: 10.4)
    recipe = load_recipe("quickstart", ["pretrain.precision=bf16"])
    (warning,) = readiness.find_slow_precision(recipe, "cpu")
    assert str(warning).startswith(
        '[pretrain]: precision = "bf16" is emulated by this processor: a layer takes 10.4 times as long as in fp32'
    )
    for precision in ("fp32", "auto"):
        recipe = load_recipe("quickstart", [f"pretrain.precision={precision}"])
        assert list(readiness.find_slow_precision(recipe, "cpu")) == []


def test_the_slowdown_is_a_ratio_of_seconds(monkeypatch):
    monkeypatch.setattr(optim, "PROBE_SECONDS", 0.01)
    assert 0.01 < measure_bf16_slowdown() < 1000


def test_the_fingerprint_contains_auto_and_not_what_it_selects(emulated):
    recipe = load_recipe("quickstart", ["pretrain.precision=auto"])
    assert recipe.resolve(recipe.arms[0])["pretrain"]["precision"] == "auto"


@pytest.mark.parametrize("precision", ["auto", "fp32"])
def test_runs_for_which_auto_selected_differently_are_unlike_and_not_paired(precision, tmp_path):
    records = three_by_three()
    for record in records:
        record["arm"]["resolved"]["pretrain"]["precision"] = precision
        is_elsewhere = record["arm"]["name"] == "pi"
        record["environment"]["auto_precision"] = "fp32" if is_elsewhere else "bf16"
    runs = load_runs([write(tmp_path, records)])
    stated = ["precision bf16 (random, shuffled) and fp32 (pi)"]
    assert list(find_unlike(runs)) == (stated if precision == "auto" else [])
    assert {d.num_runs for d in compare(runs).scores[0].differences} == {
        (3, 3) if precision == "auto" else None
    }


@pytest.mark.parametrize("name", ["quickstart", "own_judgments"])
def test_a_first_recipe_trains_every_stage_with_auto(name):
    recipe = load_recipe(name)
    stages = [spec for arm in recipe.arms for spec in arm.init] + (
        [recipe.pretrain] if recipe.pretrain else []
    )
    assert {spec.config.precision for spec in stages} == {"auto"}


def test_drawings_runs_in_fp32_on_a_processor_that_emulates_bf16(emulated):
    recipe = load_recipe("drawings")
    assert recipe.pretrain.config.precision == "auto"
    assert list(readiness.find_slow_precision(recipe, "cpu")) == []


def test_stage_one_learns_in_the_precision_that_auto_selects(emulated, monkeypatch):
    monkeypatch.setattr(optim, "has_native_bf16", lambda device: True)
    tower, uses_bf16 = TinyTower(), []
    encode = tower.encode_image
    tower.encode_image = lambda images: (uses_bf16.append(torch.is_autocast_enabled("cpu")), encode(images))[
        1
    ]
    hinge_initializer(precision="auto").initialize(tower, Heard().ctx)
    assert any(uses_bf16)


@pytest.mark.parametrize("name", ["few_pairs", "materials_cifar10"])
def test_a_recipe_with_published_records_keeps_bf16_and_warns(name, emulated, monkeypatch):
    monkeypatch.setattr(readiness, "measure_bf16_slowdown", lambda: 10.4)
    (warning,) = readiness.find_slow_precision(load_recipe(name), "cpu")
    assert "takes 10.4 times as long as in fp32" in str(warning)


def test_new_recipe_writes_auto_instead_of_bf16(cli, tmp_path):
    cli("new", "recipe", "few_pairs")
    cli("new", "recipe", "quickstart")
    text = (tmp_path / "few_pairs.toml").read_text()
    assert text.count('precision = "auto"') == 2
    assert "bf16" not in text
    own = load_recipe(tmp_path / "quickstart.toml")
    ours = load_recipe("quickstart")
    assert [own.fingerprint(arm) for arm in own.arms] == [ours.fingerprint(arm) for arm in ours.arms]
