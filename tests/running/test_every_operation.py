"""A command killed at any of its file operations resumes to the same result without leftover files.

These tests use a sample of the operations; `make fuzz` uses all.
"""

import textwrap

import numpy as np
import pytest
import torch
from helpers.file_operations import states
from helpers.outcomes import outcome
from helpers.photographs import photographs

from perceptinit.files import atomic
from perceptinit.files.cache import Cache
from perceptinit.files.checkpoints import load_weights, save_weights
from perceptinit.images import store
from perceptinit.recipe.reading import read_recipe
from perceptinit.running.runner import run_recipe
from perceptinit.types import RunContext

# fast stages with a separate state: the handling of files does not depend on their work
LOCAL = """
    from dataclasses import dataclass
    import torch
    from typing_extensions import get_protocol_members
    from perceptinit import Component, hookimpl
    from perceptinit.initializers.weights import reporting
    from perceptinit.protocols.required import DualEncoder, ImageEncoder
    from perceptinit.types import Score, StepResult

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Nothing:
        pass

    class Model:
        Config = Nothing

        def __init__(self, config):
            pass

        def build(self):
            model = torch.nn.Module()
            model.image, model.text = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)
            model.logit_scale = torch.nn.Parameter(torch.zeros(()))
            for part, protocol in ((model, DualEncoder), (model.image, ImageEncoder)):
                for name in get_protocol_members(protocol):  # none is used
                    if not hasattr(part, name):
                        setattr(part, name, None)
            return model

    class Start:
        Config = Nothing

        def __init__(self, config):
            self.sum = torch.zeros(())

        def initialize(self, model, ctx):
            step = 0
            if ctx.resumed:
                step, self.sum = ctx.resumed["step"], ctx.resumed["sum"]
            with reporting("start", model) as report:
                if ctx.resumed:
                    report.resume(ctx.resumed["report"])
                while step < 3:
                    step += 1
                    self.sum = self.sum + step
                    with torch.no_grad():
                        model.weight.mul_(1 + 0.1 * self.sum)
                    state = {"step": step, "sum": self.sum, "report": report.state()}
                    ctx.offer(step, lambda: state)
            return report.result

    class Train:
        Config = Nothing

        def __init__(self, config):
            self.step = 0

        def steps(self, model, ctx):
            while self.step < 4:
                self.step += 1
                with torch.no_grad():
                    model.logit_scale.add_(0.01 * self.step)
                yield StepResult(step=self.step, samples_seen=8 * self.step, epoch=(self.step + 1) // 2,
                                 end_of_epoch=self.step % 2 == 0, metrics={})

        def state_dict(self):
            return {"step": self.step}

        def load_state_dict(self, state):
            self.step = state["step"]

    class Scale:
        Config = Nothing

        def __init__(self, config):
            pass

        def evaluate(self, model, ctx):
            return [Score(name="scale/model", value=float(model.logit_scale))]

    @hookimpl
    def perceptinit_backbones():
        return [Component(name="local/model", target=Model, summary="x")]

    @hookimpl
    def perceptinit_initializers():
        return [Component(name="local/start", target=Start, summary="x")]

    @hookimpl
    def perceptinit_pretrainers():
        return [Component(name="local/train", target=Train, summary="x")]

    @hookimpl
    def perceptinit_evaluators():
        return [Component(name="local/scale", target=Scale, summary="x")]
"""
RECIPE = """
schema = 1
name = "short"
plugins = ["local.py"]
[backbone]
use = "local/model"
[pretrain]
use = "local/train"
[[eval]]
use = "local/scale"
[[eval]]
use = "keep-weights"
[[track]]
use = "jsonl"
[checkpoint]
every_steps = 3
[[arm]]
name = "pi"
init = [{ use = "local/start" }]
posthoc = [{ use = "local/start" }]
"""


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "local.py").write_text(textwrap.dedent(LOCAL))
    return read_recipe(RECIPE, source="short.toml", folder=tmp_path)


def test_a_run_killed_at_any_file_operation_ends_like_an_uninterrupted_run(recipe, tmp_path):
    def run(folder):
        run_recipe(recipe, out=folder, device="cpu")

    run(tmp_path / "alone")
    expected = outcome(tmp_path / "alone")
    for name, state in states(tmp_path / "killed", run, tmp_path / "killed", at_least=60):
        run(state)
        assert outcome(state) == expected, name


def content(folder):
    return {str(p.relative_to(folder)): p.is_file() and p.read_bytes() for p in folder.rglob("*")}


def test_an_image_store_killed_at_any_file_operation_ends_like_an_uninterrupted_one(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "SETTLED_SECONDS", 0.0)
    monkeypatch.setattr(atomic, "ABANDONED_SECONDS", -1.0)  # no other process uses it
    stimuli = photographs(tmp_path / "photographs")
    everything = np.arange(len(stimuli))

    def work(root):
        return store.ImageStore(root, 4, RunContext()).open(stimuli, everything)[everything]

    expected = work(tmp_path / "alone")
    for name, state in states(tmp_path / "killed", work, tmp_path / "killed"):
        assert (work(state) == expected).all(), name
        kept = set(state.rglob("*"))
        assert (work(state) == expected).all(), name
        assert set(state.rglob("*")) == kept, name  # nothing was decoded again
        assert not [path for path in kept if path.name.startswith(".")], name


def test_a_cached_tower_killed_at_any_file_operation_is_complete_or_recomputed(tmp_path):
    weights = {"w": torch.arange(100.0)}

    def work(folder):
        cache = Cache(folder)
        with cache.locked("key"):
            entry = cache.find("key")
            if entry is None:
                cache.store("key", {"report": 1}, lambda path: save_weights(path, weights))
        entry = cache.find("key")
        return load_weights(entry.weights_path)["w"]

    work(tmp_path / "alone")
    expected = content(tmp_path / "alone")
    for name, state in states(tmp_path / "killed", work, tmp_path / "killed"):
        assert torch.equal(work(state), weights["w"]), name
        assert content(state) == expected, name
