"""A command killed at any of its file operations resumes to the same result without leftover files.

These tests use a sample of the operations; `make fuzz` uses all.
"""

import shutil
import textwrap
from contextlib import suppress

import numpy as np
import pytest
import torch
from helpers.file_operations import states
from helpers.made_runs import three_by_three, write
from helpers.outcomes import outcome
from helpers.photographs import photographs
from helpers.runs_here import run_recipe_here

from perceptinit.analysis.compare import compare
from perceptinit.cli.cache import cache as clear_cache
from perceptinit.cli.new import copy_recipe
from perceptinit.components.scaffold import new_plugin
from perceptinit.errors import UsageError
from perceptinit.exporting import export
from perceptinit.files import atomic
from perceptinit.files.atomic import write_file
from perceptinit.files.cache import Cache, foreign_files
from perceptinit.files.checkpoints import load_weights, save_weights
from perceptinit.files.sealed import write_sealed
from perceptinit.images import store
from perceptinit.recipe.reading import read_recipe
from perceptinit.reports.report import write_figure, write_report
from perceptinit.results.runs import load_runs
from perceptinit.running.runner import run_recipe
from perceptinit.types import RunContext
from perceptinit.verdict.headline import Judged

KEY = "a1" * 32

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


def leftovers(folder):
    return [str(path) for path in folder.rglob(".*")]


def check_every_kill(tmp_path, work, at_least=1):
    """Kill `work(folder)` at its file operations, and expect that the next call leaves what one call leaves."""
    work(tmp_path / "alone")
    expected = content(tmp_path / "alone")
    for name, state in states(tmp_path / "killed", work, tmp_path / "killed", at_least=at_least):
        with suppress(UsageError):  # the killed call had completed, and nothing is overwritten
            work(state)
        assert content(state) == expected, name


def test_an_export_killed_at_any_file_operation_is_completed_by_the_next_export(tmp_path):
    run_recipe_here(tmp_path / "runs")
    run = tmp_path / "runs/tiny/pi/seed0"
    check_every_kill(tmp_path, lambda folder: export(run, "open-clip", folder / "tower"), at_least=12)


def test_a_new_plugin_killed_at_any_file_operation_is_whole_or_absent(tmp_path):
    new_plugin("acme", "pairs", tmp_path / "alone")
    whole = content(tmp_path / "alone")
    killed = tmp_path / "killed"
    for name, state in states(killed, new_plugin, "acme", "pairs", killed, at_least=10):
        assert not (state / "acme").exists() or content(state / "acme") == content(tmp_path / "alone/acme"), (
            name
        )
    shutil.rmtree(tmp_path / "killed-states")
    shutil.rmtree(killed)
    check_every_kill(tmp_path / "again", lambda folder: new_plugin("acme", "pairs", folder))
    assert content(tmp_path / "again/alone") == whole


@pytest.mark.parametrize("suffix", [".html", ".svg", ".pdf"])
def test_a_report_or_figure_killed_at_any_file_operation_leaves_nothing(tmp_path, suffix):
    judged = Judged.of(compare(load_runs([write(tmp_path / "runs", three_by_three())])))
    writer = write_report if suffix == ".html" else write_figure
    check_every_kill(tmp_path, lambda folder: writer(judged, folder / f"out{suffix}"))


def test_a_copied_recipe_killed_at_any_file_operation_is_whole_or_absent(tmp_path):
    check_every_kill(tmp_path, lambda folder: copy_recipe("quickstart", folder))


def test_weights_killed_at_any_file_operation_leave_nothing_next_to_a_second_copy(tmp_path):
    weights = {"w": torch.arange(100.0)}
    check_every_kill(tmp_path, lambda folder: save_weights(folder / "w.safetensors", weights))


def test_clearing_the_cache_removes_what_a_kill_left_a_moment_ago(tmp_path, monkeypatch):
    weights = {"w": torch.arange(100.0)}

    def work(folder):
        monkeypatch.setenv("PERCEPTINIT_CACHE", str(folder))
        Cache(folder).store(KEY, {"report": 1}, lambda path: save_weights(path, weights))
        write_sealed(folder / "embeddings" / f"{KEY}.safetensors", {}, {"a": np.ones(3)})
        write_file(folder / "notes.txt", b"mine")

    for name, state in states(tmp_path / "killed", work, tmp_path / "killed", at_least=12):
        monkeypatch.setenv("PERCEPTINIT_CACHE", str(state))
        clear_cache(clear=True)
        assert [p for p in state.rglob("*") if p.is_file() and p.name != "notes.txt"] == [], name
        assert foreign_files() == sorted(state.glob("notes.txt")), name
        assert leftovers(state) == [], name


def test_temporary_files_of_running_commands_and_of_young_ones_elsewhere_stay(tmp_path, monkeypatch, cli):
    monkeypatch.setenv("PERCEPTINIT_CACHE", str(tmp_path))
    elsewhere = tmp_path / ".a.npy.4194305-00000000deadbeef.tmp"
    elsewhere.touch()
    with atomic.atomic_path(tmp_path / "mine.npy") as own, atomic.temporary_folder(tmp_path / "b") as folder:
        (folder / "half").touch()
        done = cli("cache", "--clear")
        assert done.stdout == "The cache is empty.\n"
        assert own.exists()
        assert (folder / "half").exists()
    assert elsewhere.exists()
