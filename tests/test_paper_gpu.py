"""Errors and waits of a GPU, found on a simulated GPU; the quickstart has the weights of a CPU run.

PERCEPTINIT_PAPER=whole   every arm of the bundled recipe with one seed (`make paper`); by default a smoke run
"""

import os
from dataclasses import replace
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
import torch
from helpers.clip import CONFIG, Colours, context, model
from helpers.paper_gpu import ALLOWED_WAITS, PACKAGE, fsdp_on_paper, paper_gpu
from helpers.processes import fake_group, group_of_one

from perceptinit.backbones import text
from perceptinit.evaluators.zero_shot import ZeroShot
from perceptinit.initializers import stage_images
from perceptinit.initializers.triplet import Triplet
from perceptinit.pretrainers import towers
from perceptinit.pretrainers.clip import Clip
from perceptinit.recipe.reading import load_recipe
from perceptinit.running.runner import run_recipe
from perceptinit.testing import tiny_judgments, tiny_model
from perceptinit.types import RunContext

STAGE_1 = {
    "hinge": {"loss": "hinge", "flip": True, "crop_scale": (0.5, 1.0)},
    "logistic": {"weighting": "agreement", "clip_norm": 1.0},
    "info-nce": {"loss": "info-nce", "precision": "bf16"},
}


def losses(device, **settings):
    clip = Clip(replace(CONFIG, **settings), Colours())
    return [r.metrics["loss"] for r in clip.steps(model().to(device), context(device=device))]


def stage_1(device, **settings):
    config = Triplet.Config(epochs=2, batch_size=16, **settings)
    tower = tiny_model().image.to(device)
    return Triplet(config, tiny_judgments()).initialize(
        tower, RunContext(stage="init.0", device=device, num_workers=0)
    )


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"precision": "bf16"},
        {"micro_batch": 8, "ema_decay": 0.9, "patch_dropout": 0.5},
        {"clip_norm": 1.0, "lock": "image"},
    ],
)
def test_training_on_a_gpu_equals_the_cpu_and_never_waits(settings):
    want = [float(x) for x in losses("cpu", **settings)]
    with paper_gpu() as gpu:
        got = losses("cuda", **settings)
        assert gpu.steady_waits() == []
        got = [float(x) for x in got]
    assert got == pytest.approx(want, abs=0.03 if settings.get("precision") else 1e-5)


@pytest.mark.parametrize("share", [0.25, 0.0], ids=["images-on-gpu", "images-ahead"])
@pytest.mark.parametrize("settings", STAGE_1.values(), ids=STAGE_1)
def test_stage_1_on_a_gpu_equals_the_cpu_and_its_steps_never_wait(settings, share, monkeypatch):
    monkeypatch.setattr(stage_images, "SHARE_OF_MEMORY", share)
    want = stage_1("cpu", **settings).metrics
    with paper_gpu() as gpu:
        got = stage_1("cuda", **settings).metrics
    assert [w for w in gpu.steady_waits() if "_take_step" in w.stack] == []
    # crops differ by one level between GPU and CPU, and bfloat16 kernels differ
    is_rounded = settings.get("precision") or "crop_scale" in settings
    assert got == pytest.approx(want, abs=0.05 if is_rounded else 1e-4)


IS_WHOLE = os.environ.get("PERCEPTINIT_PAPER") == "whole"


@pytest.mark.parametrize("arm", ["random", "pi", "shuffled"] if IS_WHOLE else ["pi"])
def test_the_quickstart_on_a_gpu_has_the_weights_and_scores_of_a_cpu(
    arm, tmp_path, recipes_folder, monkeypatch
):
    monkeypatch.setattr(text, "GPU_MULTIPLES", (1, 1))  # other shapes have another order of summation
    # "auto" may select another precision for each device
    same = ["init.precision=fp32", "pretrain.precision=fp32"]
    recipe = load_recipe(recipes_folder / "quickstart.toml", same)
    if not IS_WHOLE:
        recipe = recipe.smoke()
    options = {"arms": [arm], "seeds": [0]}
    (want,) = run_recipe(recipe, out=tmp_path / "cpu", device="cpu", **options)
    with paper_gpu():
        (got,) = run_recipe(recipe, out=tmp_path / "gpu", device="cuda", **options)
    assert got["scores"]
    assert got["hashes"] == want["hashes"]
    assert _scores(got) == _scores(want)


def _scores(record):
    return [(score["name"], score["value"]) for score in record["scores"]]


PLANTED = {
    "item": (lambda x: float(x.sum()), "__float__"),
    "mask": (lambda x: x[x > 0], "index from the host or by a mask"),
    "blocking copy": (lambda x: x + torch.ones(1).to(x.device), "blocking copy"),
    "pageable copy": (
        lambda x: x + torch.ones(1).to(x.device, non_blocking=True),
        "copy from pageable memory",
    ),
}


def plant(monkeypatch, what):
    """Run a function in the forward pass of every image tower, with a place in encoders.py."""
    from perceptinit.backbones.encoders import ImageTower

    scope = {"torch": torch, "real": ImageTower.normalize, "do": what}
    code = "def normalize(self, images):\n    x = real(self, images)\n    do(x)\n    return x"
    exec(compile(code, str(PACKAGE / "backbones" / "encoders.py"), "exec"), scope)
    monkeypatch.setattr(ImageTower, "normalize", scope["normalize"])


def ddp(gpu):
    with (
        group_of_one(),
        mock.patch.object(towers, "distributed", SimpleNamespace(world_size=lambda: 2)),
    ):
        losses("cuda", epochs=1)


def fsdp(gpu):
    with fake_group(2), fsdp_on_paper(gpu):
        losses("cuda", epochs=1, sharding="fsdp", on_non_finite="skip")


def evaluation(gpu):
    zero_shot = ZeroShot(ZeroShot.Config(datasets=("synthetic",), synthetic_num_images=16))
    list(zero_shot.evaluate(tiny_model().to("cuda"), RunContext(device="cuda", num_workers=0)))


PATHS = {
    "one process": lambda gpu: losses("cuda", epochs=1),
    "ddp": ddp,
    "fsdp": fsdp,
    "stage 1": lambda gpu: stage_1("cuda"),
    "evaluation": evaluation,
}
on_each_path = pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)


@pytest.mark.parametrize("path", [ddp, fsdp])
def test_no_step_waits_under_ddp_and_fsdp(path):
    with paper_gpu() as gpu:
        path(gpu)
        assert gpu.steady_waits() == []


def each_wait_and_each_path():
    """Yield all pairs; slow unless the wait is the first or the path has one process."""
    for wait in PLANTED:
        for path in PATHS:
            marks = () if wait == "item" or path == "one process" else pytest.mark.slow
            yield pytest.param(PATHS[path], *PLANTED[wait], id=f"{wait}-{path}", marks=marks)


@pytest.mark.parametrize(("path", "what", "why"), each_wait_and_each_path())
def test_a_planted_wait_is_detected(path, what, why, monkeypatch):
    plant(monkeypatch, what)
    with paper_gpu() as gpu:
        path(gpu)
        assert why in {w.why for w in gpu.steady_waits() if w.place.endswith("encoders.py:normalize")}


@on_each_path
def test_a_planted_tensor_on_the_cpu_stops_the_run(path, monkeypatch):
    plant(monkeypatch, lambda x: x + torch.ones(1))
    with paper_gpu() as gpu, pytest.raises(RuntimeError, match="on the same device"):
        path(gpu)


def test_every_allowed_wait_names_an_existing_function():
    for place, reason in ALLOWED_WAITS.items():
        file, function = place.split(":")
        assert f"def {function}(" in (PACKAGE / file).read_text()
        assert len(reason) > 20


def test_the_simulated_gpu_refuses_conversion_to_numpy():
    with paper_gpu(), pytest.raises(TypeError, match="to numpy"):
        np.square(torch.ones(2, device="cuda").numpy())
