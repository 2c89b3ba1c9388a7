"""`validate` warns about unlikely settings and estimates the cost of a run, also with missing data."""

import re
import shlex
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from perceptinit.compute.devices import usable_cores
from perceptinit.errors import UsageError, count
from perceptinit.recipe.cost import work_lines
from perceptinit.recipe.reading import load_recipe
from perceptinit.recipe.recipe import EvalSlot
from perceptinit.running import memory, resources
from perceptinit.running.readiness import find_obstacles, find_warnings
from perceptinit.running.resources import resource_rows, resource_table
from perceptinit.testing import tiny_model
from perceptinit.types import RunContext

OWN = ("--set", "data.mine.path=lab.csv", "--set", "data.mine.images=.")
VIT = ("backbone.model=vit_tiny_patch16_224", "backbone.image_size=32")


def told(find, *overrides):
    return [str(problem) for problem in find(load_recipe("quickstart", overrides))]


def test_a_batch_larger_than_the_judgments_is_a_warning():
    (sentence,) = told(find_warnings, "init.batch_size=5000", "init.epochs=50")
    assert sentence.startswith("[init]: batch_size = 5000 is more than the 2")
    assert "so each epoch is one step. Lower batch_size" in sentence


def test_a_batch_larger_than_the_pairs_is_an_obstacle():
    (sentence,) = told(find_obstacles, "pretrain.batch_size=5000", "pretrain.warmup_steps=0")
    assert "batch_size = 5000, but there are only 2500 pairs" in sentence


def test_a_warm_up_longer_than_stage_one_is_an_obstacle():
    (sentence,) = told(find_obstacles, "init.warmup_steps=5000")
    assert sentence.startswith("[init]: ")
    assert "5000" in sentence


def test_a_warm_up_longer_than_pretraining_is_a_warning():
    (sentence,) = told(find_warnings, "pretrain.warmup_steps=5000")
    assert sentence.startswith("[pretrain]: warmup_steps = 5000 is not less than the")
    assert told(find_obstacles, "pretrain.warmup_steps=5000") == []


def test_images_of_three_pixels_are_an_obstacle():
    (sentence,) = told(find_obstacles, "backbone.image_size=3")
    assert "[backbone]: image_size = 3 is too small to show anything. Set at least 8" in sentence


def test_a_context_without_space_for_a_word_is_an_obstacle():
    (sentence,) = told(find_obstacles, "backbone.context_length=2")
    assert "[backbone]: context_length = 2 leaves no space for a word" in sentence
    assert told(find_obstacles, "backbone.context_length=3") == []


def test_patches_that_do_not_divide_the_image_are_a_warning():
    (sentence,) = told(find_warnings, *VIT, "backbone.image_size=40")
    assert sentence == (
        "[backbone]: patch size 16 does not divide image size 40, so 8 rows and columns of pixels are ignored. "
        "Try image_size = 32"
    )
    assert told(find_warnings, *VIT) == []


def test_validate_begins_with_warnings(cli):
    done = cli("validate", "quickstart", "--set", "init.batch_size=5000")
    first, warning, *_ = done.stdout.splitlines()
    assert first == "Ready to run, with warnings."
    assert warning.startswith("warning: [init]: batch_size = 5000")


def test_validate_begins_with_what_stops_a_run(cli):
    done = cli("validate", "own_judgments")
    assert done.returncode == 1
    first, reason, *_ = done.stdout.splitlines()
    assert first == "The recipe is valid. Before it can run:"
    assert "judgments.xlsx: no such file" in reason


def test_a_short_recipe_has_figures_of_this_device_only(cli, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(resources, "usable_cores", lambda: 1)
    text = cli("validate", "quickstart").stdout
    assert "min on 1 CPU core at 80 GFLOP/s, without data and evaluation" in text
    for word in ("H100", "JPEG", "GFLOP per", "micro_batch"):
        assert word not in text
    monkeypatch.setattr(resources, "CORE_RATE", 80e6)
    assert "one H100 at 400 TFLOP/s" in cli("validate", "quickstart").stdout  # more than an hour


def test_counts_of_one_are_singular(cli):
    text = cli("validate", "quickstart", "--set", "seeds=[0]", "--set", "verdict.delta=1").stdout
    assert "3 arms x 1 seed = 3 runs" in text
    assert "differences within 1 point do not matter; 1 seed" in text


def test_the_cost_is_estimated_from_published_sizes_if_data_are_missing(monkeypatch, tmp_path):
    for name in ("NIGHTS_ROOT", "YFCC_ROOT", "EVAL_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe("pi_clip_yfcc")
    lines = [*work_lines(recipe), *resources.cost_lines(recipe)]
    stages = [line.strip() for line in lines if line.startswith("  init.0")]
    assert "15,941 judgments as published, data missing" in stages[0]
    # 14,829,396 pairs in batches of 6,144, 32 times
    steps = 32 * (14_829_396 // 6144)
    assert any(f"pretrain clip: {steps:,} steps, {steps * 6144:,} images" in line for line in lines)
    assert any(line.startswith("training cost: ") for line in lines)
    (zero_shot,) = [line for line in lines if line.startswith("eval zero-shot")]
    assert "29 test sets; " in zero_shot
    assert "PFLOP each time" in zero_shot
    assert not Path("data").exists()


def test_validate_states_steps_images_and_time_of_a_stage_on_this_cpu():
    headings, rows = resource_table(load_recipe("quickstart"))
    (stage,) = [row for row in rows if "pi: init.0" in row[0]]
    assert headings == ("stage", "steps", "images", f"time on {count(usable_cores(), 'CPU core')}")
    assert re.fullmatch(r"[\d,]+", stage[1])
    assert re.fullmatch(r"[\d,]+", stage[2])
    assert re.fullmatch(r"\d+ (s|min)", stage[3])


# activations of ViT-B/32 in bf16, whose tracing takes 13 CPU seconds
IMAGE = memory.Traced(per_row=18_145_056, fixed=175_540_224)
TEXT = memory.Traced(per_row=17_628_480, fixed=77_737_948)


@pytest.mark.slow
def test_the_activations_of_a_published_tower_are_those_of_the_next_test():
    tracer = memory.Tracer(load_recipe("pi_clip_yfcc"), "bf16")
    for found, expected in ((tracer.image, IMAGE), (tracer.text, TEXT)):
        assert found.per_row == pytest.approx(expected.per_row, rel=0.01)
        assert found.fixed == pytest.approx(expected.fixed, rel=0.1)


@pytest.mark.parametrize(("num_gpus", "jobs", "gb"), [(1, 1, 0.1), (2, 2, 0.1), (1, 3, 8), (2, 6, 8)])
def test_runs_share_gpus_whose_memory_suffices(monkeypatch, num_gpus, jobs, gb):
    monkeypatch.setattr("torch.cuda.device_count", lambda: num_gpus)
    monkeypatch.setattr(
        "torch.cuda.get_device_properties", lambda _: SimpleNamespace(total_memory=gb * memory.GB)
    )
    resources.check_shared_gpus(load_recipe("quickstart"), jobs)


@pytest.mark.parametrize(
    ("num_gpus", "jobs", "gb", "message"),
    [
        (1, 9, 4, r"9 runs on one GPU need about 9 x 0\.\d GB, and it has 4\.0 GB\. Use --jobs [3-6]$"),
        (2, 9, 4, r"5 runs on one GPU .* Use --jobs (6|8)$"),
        (1, 2, 0.1, r"2 runs on one GPU .* it has 0\.1 GB\. Set a smaller micro_batch$"),
    ],
)
def test_runs_that_exceed_the_memory_of_a_gpu_are_refused(monkeypatch, num_gpus, jobs, gb, message):
    monkeypatch.setattr("torch.cuda.device_count", lambda: num_gpus)
    monkeypatch.setattr(
        "torch.cuda.get_device_properties", lambda _: SimpleNamespace(total_memory=gb * memory.GB)
    )
    with pytest.raises(UsageError, match=message):
        resources.check_shared_gpus(load_recipe("quickstart"), jobs)


def test_captions_whose_tokens_are_unknown_count_with_their_padding():
    tracer = memory.Tracer(load_recipe("quickstart"), "fp32")

    def share(text):
        pairs = SimpleNamespace(num_pairs=3, pair=lambda index: SimpleNamespace(text=text))
        return tracer.packed_share(pairs)

    assert share("a dog") < 0.5
    assert share([49406, 320, 49407]) == 1.0
    assert tracer.packed_share(None) == 1.0


def test_validate_prints_the_resources_of_each_stage(cli, monkeypatch):
    monkeypatch.setattr(memory.Tracer, "image", IMAGE)
    monkeypatch.setattr(memory.Tracer, "text", TEXT)

    def rows(*settings):
        done = cli("validate", "pi_clip_yfcc", *settings)
        assert done.returncode == 1, done.stderr
        return done.stdout

    text = rows()
    (pretrain,) = [line.split() for line in text.splitlines() if line.startswith("pretrain clip")]
    assert pretrain[2:4] == ["77,216", "474,415,104"]
    assert pretrain[4:6] == ["42.1", "GB"]  # as `perceptinit estimate` (docs/scaling.md)
    *limits, hours = [float(part.rstrip(",").replace(",", "")) for part in pretrain[6:]]
    assert limits[2] == 3473  # of 80 GB
    assert hours == pytest.approx(4 * 474_415_104 * 14.78e9 / 400e12 / 3600, rel=0.01)
    (stage_one,) = [line for line in text.splitlines() if line.startswith("pi: init.0 triplet-hinge")]
    assert re.search(r"43\.6 GB +\d+, 1,\d+, not needed", stage_one)  # micro_batch for 24, 40, 80 GB
    assert f"7.6 CPU cores decode JPEGs of 59 KB as fast; this machine has {usable_cores()}" in text
    (zero_shot,) = [line.split() for line in text.splitlines() if line.startswith("eval zero-shot, ")]
    # before pretraining and after each of 32 epochs; 8 cores decode in the time that a run waits for them
    assert zero_shot[2:] == ["33", "times", f"{33 * 413_108:,}", f"{33 * 413_108 * 0.84e-3 / 8 / 3600:.1f}"]
    assert (
        "disk: pairs 1,900 GB, judgments 58 GB, test set 38 GB, unknown size for 1, checkpoints 3.6 GB"
        in text
    )
    assert "power: unknown. Set [verdict] noise" in text
    (whole,) = [
        x.split()
        for x in rows("--set", "pretrain.micro_batch=0").splitlines()
        if x.startswith("pretrain clip")
    ]
    assert whole[4:6] == ["224.8", "GB"]


@pytest.mark.parametrize(("every", "times"), [("end", 1), ("epoch", 1 + 4), (10, 2 + 3), (3, 2 + 13)])
def test_evaluations_of_a_run_are_counted_as_it_makes_them(every, times):
    """Before pretraining, when it is due other than at the last step, and at the end."""
    slot = EvalSlot(None, every)
    num_steps, epoch = 40, 10
    due = [slot.is_due(step, step % epoch == 0) for step in range(1, num_steps)]
    assert slot.count_times(num_steps, 4) == times == sum(due) + (1 if every == "end" else 2)


def test_memory_is_for_gpus_and_for_stages_of_more_than_an_hour_on_a_cpu():
    recipe = load_recipe("quickstart")
    on_cpu, on_gpu = ({row[3] for row in resource_rows(recipe, has_gpu)} for has_gpu in (False, True))
    assert on_cpu == {""}
    assert on_gpu - {""} == {"0.0 GB", "0.1 GB"}  # stage 1, pretraining


def test_no_micro_batch_fits_a_gpu_that_is_too_small_for_the_weights(monkeypatch):
    monkeypatch.setattr(resources, "CARDS_GB", (1e-6, 80))
    limits = {row[4] for row in resource_rows(load_recipe("quickstart"), has_gpu=True)}
    assert limits - {""} == {"none, not needed"}


def gradients_of_first_step(pretrainer):
    """Return the gradients that the optimizer receives in the first step of a tiny model in float64."""
    model, found = tiny_model().double(), {}

    def keep(*_):
        found.update((name, weight.grad.clone()) for name, weight in model.named_parameters())

    steps = pretrainer.steps(model, RunContext(num_workers=0))
    hook = register_optimizer_step_pre_hook(keep)
    try:
        next(steps)
    finally:
        hook.remove()
        steps.close()
    return found


def test_the_micro_batch_of_the_recipe_has_the_gradients_of_the_whole_batch():
    # gradients, not weights: AdamW turns the rounding noise of a gradient that is zero into a whole step
    def gradients(micro_batch):
        recipe = load_recipe("pi_clip_yfcc", [f"pretrain.micro_batch={micro_batch}"]).smoke()
        config = replace(recipe.pretrain.config, precision="fp32")
        return gradients_of_first_step(replace(recipe.pretrain, config=config).build())

    assert load_recipe("pi_clip_yfcc").pretrain.config.micro_batch == 2048
    whole = gradients(0)
    assert whole["logit_scale"].abs() > 1e-4
    torch.testing.assert_close(gradients(8), whole, rtol=1e-6, atol=1e-9)  # 8 of 32 pairs


def test_zero_shot_of_a_text_tower_with_random_weights_is_refused(cli, tmp_path):
    (tmp_path / "lab.toml").write_text(
        'schema = 1\nname = "lab"\n[backbone]\nuse = "timm"\nmodel = "test_resnet"\n'
        '[[eval]]\nuse = "zero-shot"\ndatasets = ["synthetic"]\n'
    )
    done = cli("validate", "lab.toml")
    assert done.returncode == 2
    assert (
        "eval.use: evaluator 'zero-shot' needs a pretrained text tower, but this one has random weights. Add "
        "[pretrain], or a backbone with `pretrained` weights"
    ) in done.stderr
    loaded = ("--set", 'backbone.use="open-clip"', "--set", 'backbone.pretrained="openai"')
    assert "text tower" not in cli("validate", "lab.toml", *loaded).stderr


def test_validate_states_that_images_are_not_checked_and_how_to_check_them(cli, tmp_path):
    import numpy as np
    from PIL import Image

    rows = []
    for i in range(24):
        Image.fromarray(np.full((8, 8, 3), 10 * i, np.uint8)).save(tmp_path / f"{i}.jpg")
        rows += [f"{i}.jpg,{(i + a) % 24}.jpg,{(i + a + 1) % 24}.jpg,{a % 3},1" for a in range(1, 9)]
    (tmp_path / "7.jpg").write_bytes((tmp_path / "7.jpg").read_bytes()[:200])
    (tmp_path / "lab.csv").write_text("\n".join(["anchor,first,second,first_votes,second_votes", *rows]))
    said = cli("validate", "own_judgments", *OWN).stdout
    (advice,) = [line for line in said.splitlines() if line.startswith("Images were not decoded.")]
    command = shlex.join(["perceptinit", "data", "check", "own_judgments", *OWN])
    assert advice.endswith(f"To check the images of judgments: {command}")
    done = cli(*shlex.split(command)[1:])
    assert done.returncode == 1
    assert "images cannot be read: 7.jpg" in done.stdout


@pytest.mark.parametrize(("fit", "is_warned"), [("center-crop", True), ("squash", False)])
def test_images_of_which_a_crop_removes_much_are_a_warning(cli, tmp_path, fit, is_warned):
    import numpy as np
    from PIL import Image

    rows = []
    for i in range(24):
        Image.fromarray(np.full((8, 12, 3), 10 * i, np.uint8)).save(tmp_path / f"{i}.png")
        rows += [f"{i}.png,{(i + a) % 24}.png,{(i + a + 1) % 24}.png,{a % 3},1" for a in range(1, 9)]
    (tmp_path / "lab.csv").write_text("\n".join(["anchor,first,second,first_votes,second_votes", *rows]))
    done = cli("validate", "own_judgments", "--set", f'backbone.fit="{fit}"', *OWN)
    assert done.returncode == 0, done.stdout + done.stderr
    warned = "center crop removes a median of 33.3% of their area" in done.stdout
    assert warned == is_warned
    assert ('Set [backbone] fit = "squash" or "pad"' in done.stdout) == is_warned


def test_a_model_that_lacks_a_member_is_reported_by_validate_and_run(cli, tmp_path):
    (tmp_path / "lab.py").write_text(
        "from dataclasses import dataclass\n"
        "from torch.nn import Conv2d\n"
        "from perceptinit import Component, hookimpl\n"
        "class Net:\n"
        "    @dataclass(frozen=True, slots=True, kw_only=True)\n"
        "    class Config:\n"
        "        pass\n"
        "    def __init__(self, config):\n"
        "        pass\n"
        "    def build(self):\n"
        "        return Conv2d(3, 4, 3)\n"
        "@hookimpl\n"
        "def perceptinit_backbones():\n"
        "    return [Component(name='local/net', target=Net, summary='a convolution')]\n"
    )
    text = 'schema = 1\nname = "net"\nplugins = ["lab.py"]\n[backbone]\nuse = "local/net"\n[[arm]]\nname = "random"\n'
    (tmp_path / "net.toml").write_text(text)
    for command in ("validate", "run"):
        done = cli(command, "net.toml")
        assert done.returncode == 2
        assert "backbone 'local/net': build() lacks context_length, embed_dim, encode_image" in done.stderr
