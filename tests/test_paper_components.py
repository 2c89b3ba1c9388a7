"""Every built-in initializer and evaluator and every plug-in in plugins/ and examples/ on a simulated GPU."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import distributions
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from helpers.command_line import ROOT
from helpers.paper_gpu import paper_gpu
from safetensors.torch import save_file

from perceptinit.backbones.timm_backbone import Timm
from perceptinit.components.building import find_parts
from perceptinit.components.plugin_manager import build_plugin_manager
from perceptinit.configs import read_config
from perceptinit.judgments.forms.odd_one_out import OddOneOut, SamePairs
from perceptinit.pretrainers.supervised import Supervised
from perceptinit.registry import COMPANIONS, Component
from perceptinit.testing import tiny_classifier, tiny_judgments, tiny_model, tiny_pairs
from perceptinit.testing.contract import tiny_pretrainer
from perceptinit.testing.stages import EVENTS
from perceptinit.types import RunContext

ENTRIES = build_plugin_manager().registry.entries
INITIALIZERS = [entry for entry in ENTRIES if entry.kind == "initializer"]
EVALUATORS = [entry for entry in ENTRIES if entry.kind == "evaluator"]
SYNTHETIC = {"datasets": ["synthetic"], "synthetic_num_images": 32}
VIT = {"patch_size": 8, "embed_dim": 64, "depth": 1, "num_heads": 2, "img_size": 32}


class AllForms:
    """Simulated judgments in every form that evaluators use."""

    name = "all-forms"

    def __init__(self):
        self._judgments = tiny_judgments()

    def load(self, split):
        return self._judgments.load(split)

    def load_odd_one_out(self, split):
        triplets = self.load(split)
        images = np.stack([triplets.anchor, triplets.first, triplets.second], axis=1)
        return OddOneOut.build(triplets.stimuli, images, np.tile([0, 1, 2], (len(images), 1)))

    def load_same_pairs(self, split):
        triplets = self.load(split)
        is_same = np.arange(len(triplets)) % 2
        return SamePairs.build(triplets.stimuli, triplets.anchor, triplets.first, is_same)

    def load_dissimilarities(self, split):
        matrix = np.abs(np.subtract.outer(np.arange(8.0), np.arange(8.0) ** 2))
        return self.load(split).stimuli, np.arange(8), (matrix + matrix.T)[None]


def options_of(name, folder):
    """Return the required keys of a component; their files are created in `folder`."""
    tower = tiny_model(seed=1).image
    if name in ("checkpoint", "interpolate"):
        save_file(tower.state_dict(), folder / "tower.safetensors")
        return {"file": str(folder / "tower.safetensors")}
    if name in ("imagenet", "timm-weights"):
        save_file(tower.trunk.state_dict(), folder / "trunk.safetensors")
        return {"file": str(folder / "trunk.safetensors")}
    if name == "weight-selection":
        teacher = timm.create_model("vit_tiny_patch16_224", num_classes=0, **VIT)
        save_file(teacher.state_dict(), folder / "teacher.safetensors")
        args = {"teacher": "vit_tiny_patch16_224", "teacher_args": VIT}
        return {"file": str(folder / "teacher.safetensors"), **args}
    if name in ("triplet", "triplet-hinge"):
        return {"epochs": 1, "batch_size": 16}
    if name == "distil":
        return {"epochs": 1, "batch_size": 16}
    if name == "linear":
        return {"pull": 0.1}  # the identity is the choice for random votes
    if name == "procedural":
        return {"steps": 2, "warmup_steps": 1, "batch_size": 8}
    if name in (
        "zero-shot",
        "classification",
        "retrieval",
        "knn",
        "linear-probe",
        "representation",
    ):
        return SYNTHETIC
    return {}


def build(cls, options):
    config, problems = read_config(cls.Config, options, "component")
    assert not problems
    parts = {"judgments": AllForms, "also_on": AllForms, "pairs": tiny_pairs, "pretrain": tiny_pretrainer}
    return cls(config, **{name: parts[name]() for name in find_parts(cls)})


def context(folder=None, device="cuda"):
    return RunContext(stage="stage", device=device, folder=folder, num_workers=0)


def initialized(component):
    kind = "convnext_atto" if component.__class__.__name__ == "Covariance" else "vit_tiny_patch16_224"
    tower = Timm(Timm.Config(model=kind).smoke()).build().image.to("cuda")
    report = component.initialize(tower, context())
    assert report.changed
    assert all(weight.is_cuda for weight in tower.state_dict().values())


@pytest.mark.parametrize("entry", INITIALIZERS, ids=lambda entry: entry.name)
def test_an_initializer_works_on_a_tower_on_a_gpu(entry, tmp_path):
    component = build(entry.load(), options_of(entry.name, tmp_path))
    with paper_gpu():
        initialized(component)


@pytest.mark.parametrize("entry", EVALUATORS, ids=lambda entry: entry.name)
def test_an_evaluator_has_equal_scores_on_gpu_and_cpu(entry, tmp_path):
    compare_scores(entry.load(), entry.name, tmp_path)


def compare_scores(cls, name, folder):
    """Check that a model has equal scores on a CPU and on a GPU."""
    (folder / "weights").mkdir(exist_ok=True)
    save_file(tiny_model(seed=1).image.state_dict(), folder / "weights" / "init.safetensors")
    component = build(cls, options_of(name, folder))
    is_classified = getattr(component, "needed_part", "") == "head"
    model = (tiny_classifier() if is_classified else tiny_model()).eval()

    def scores(device):
        with torch.no_grad():
            return list(component.evaluate(model.to(device), context(folder, device)))

    want = scores("cpu")
    with paper_gpu():
        got = scores("cuda")
        model.to("cpu")
    assert [s.name for s in got] == [s.name for s in want]
    assert [s.value for s in got] == pytest.approx([s.value for s in want], abs=1e-4)


VERBS_ALONE = {c.distribution for c in COMPANIONS if set(c.offers) == {"verb"}}
PLUGINS = [
    folder
    for folder in [
        *sorted((ROOT / "plugins").glob("perceptinit-*")),
        ROOT / "examples/perceptinit-orthogonal",
    ]
    if folder.name not in VERBS_ALONE
]


def components_of(folder: Path) -> list[tuple[str, Component]]:
    """Return the hook and component of each component of a plug-in."""
    module = import_module(folder.name.replace("-", "_"))
    hooks = [name for name in vars(module) if name in DO]
    return [(hook, component) for hook in hooks for component in getattr(module, hook)()]


@contextmanager
def skipped_unless_installed(name: str) -> Iterator[None]:
    """Skip a plug-in with missing dependencies, unless it is installed (`make plugins`)."""
    try:
        yield
    except ImportError as error:
        if any(distribution.name == name for distribution in distributions()):
            raise
        pytest.skip(f"not installed: {error.name}")


@pytest.mark.parametrize("options", [{"loss": "bce"}, {"mixup": 0.8, "cutmix": 1.0}], ids=str)
def test_pretraining_on_labels_never_waits_for_the_gpu(options):
    few = {"epochs": 1, "batch_size": 16, "warmup_steps": 1}
    pretrainer = build(Supervised, {**few, **options})
    model = pretrainer.model(tiny_model(), 0)
    with paper_gpu() as gpu:
        train(pretrainer, model.to("cuda"), gpu)


QUICK = ("perceptinit-siglip", "perceptinit-orthogonal")  # a pretrainer and an initializer


@pytest.mark.parametrize(
    "folder",
    [
        pytest.param(folder, id=folder.name, marks=() if folder.name in QUICK else pytest.mark.slow)
        for folder in PLUGINS
    ],
)
def test_a_plug_in_works_on_a_gpu(folder, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(folder)
    with skipped_unless_installed(folder.name):
        offers = components_of(folder)
        assert offers
        for hook, component in offers:
            DO[hook](component, tmp_path)


def _load(component):
    if not isinstance(component.target, str):
        return component.target
    module, _, name = component.target.partition(":")
    return getattr(import_module(module), name)


def _initialize(component, folder):
    cls = _load(component)
    small = {"epochs": 1, "batch_size": 16} if hasattr(cls.Config, "epochs") else {}
    component = build(cls, {**small, **options_of(component.name, folder)})
    with paper_gpu():
        initialized(component)


def _pretrain(component, folder):
    cls = _load(component)
    pretrainer = build(cls, {"epochs": 1, "batch_size": 16, "warmup_steps": 1})
    with paper_gpu() as gpu:
        train(pretrainer, tiny_model().to("cuda"), gpu)


def train(pretrainer, model, gpu):
    """Train some steps; after the first, the host must not wait."""
    steps = pretrainer.steps(model, context())
    next(steps)
    gpu.waits.clear()  # waits of the setup
    next(steps)
    next(steps)
    steps.close()
    assert gpu.steady_waits() == []


def _track(component, folder):
    """A tracker receives plain numbers and must not access the GPU."""
    cls = _load(component)
    # options that avoid network access
    offline = {"log/codecarbon": {"country": "DEU"}, "log/wandb": {"mode": "offline"}}
    with paper_gpu() as gpu:
        tracker = build(cls, offline.get(component.name, {}))
        tracker.start(context(folder))
        for event in EVENTS:
            tracker.log(event)
        tracker.close()
        assert gpu.waits == []


def _evaluate(component, folder):
    if component.name == "shape-bias":
        return  # needs images of its 16 classes, and encodes them as zero-shot does
    compare_scores(_load(component), component.name, folder)


def _pairs(component, folder):
    """Pairs contain no tensor."""
    assert callable(_load(component).pair)


def _judgments(component, folder):
    """Judgments contain no tensor, so loading their module suffices."""
    assert callable(_load(component).load)


DO = {
    "perceptinit_initializers": _initialize,
    "perceptinit_pretrainers": _pretrain,
    "perceptinit_trackers": _track,
    "perceptinit_judgments": _judgments,
    "perceptinit_pairs": _pairs,
    "perceptinit_evaluators": _evaluate,
}
