"""Output of the console tracker, and the scalars and settings that trackers receive."""

import io

import pytest
from helpers.made_runs import record, write
from helpers.tiny_recipes import RECIPE as TINY
from rich.console import Console as RichConsole

from perceptinit.recipe.reading import read_recipe
from perceptinit.running.runner import run_recipe
from perceptinit.trackers.console import Console
from perceptinit.trackers.scalars import flat, scalars
from perceptinit.types import Event, Score

COLLECTOR = """
from dataclasses import dataclass
from perceptinit import Component, hookimpl

heard = []

@hookimpl
def perceptinit_trackers():
    return [Component(name="local/spy", target=Collector, summary="keeps what it is handed")]

class Collector:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        pass

    def __init__(self, config):
        pass

    def expect(self, runs):
        heard.append(("expect", runs))

    def describe(self, ctx, text, settings):
        heard.append(("describe", ctx.arm, text, settings))

    def start(self, ctx):
        heard.append(("start", ctx.arm))

    def log(self, event):
        pass

    def close(self):
        pass
"""


def test_scalars_of_scores_include_the_standard_error_over_samples_seen():
    scores = (Score(name="top1/x", value=0.5, stderr=0.1), Score(name="2afc/y", value=float("nan")))
    found = scalars(Event(kind="scores", samples_seen=20, scores=scores))
    assert (found.axis, found.at) == ("samples_seen", 20)
    assert found.values == {"top1/x": 0.5, "top1/x/stderr": 0.1}


def test_scalars_of_stages_without_pairs_use_the_step_of_the_stage():
    found = scalars(Event(kind="step", stage="init.0", step=7, metrics={"loss": 2.0}))
    assert (found.axis, found.at, found.values) == ("init.0/step", 7, {"init.0/loss": 2.0})
    found = scalars(Event(kind="step", stage="pretrain", step=7, samples_seen=70, metrics={"lr": 1}))
    assert (found.axis, found.at, found.values) == ("samples_seen", 70, {"pretrain/lr": 1.0})
    assert scalars(Event(kind="warning", message="x")) is None


def test_settings_are_flattened_to_dotted_keys():
    settings = {
        "pretrain": {"lr": 0.1, "betas": [0.9, 0.98]},
        "init": [{"use": "a"}],
        "posthoc": [],
    }
    assert flat(settings) == {
        "pretrain.lr": 0.1,
        "pretrain.betas": [0.9, 0.98],
        "init.0.use": "a",
        "posthoc": [],
    }


@pytest.fixture(scope="module")
def heard(tmp_path_factory):
    """Return the calls that a tracker receives during one run."""
    import sys

    folder = tmp_path_factory.mktemp("heard")
    (folder / "local.py").write_text(COLLECTOR)
    recipe = read_recipe(TINY, source=str(folder / "tiny.toml"), folder=folder)
    heard = sys.modules[
        "perceptinit_local_local"
    ].heard  # reports load the recipe again, and this module with it
    run_recipe(recipe, arms=["pi"], seeds=[0], out=folder / "runs", device="cpu")
    return heard


def test_a_tracker_receives_the_recipe_before_the_run_starts(heard):
    kinds = [row[0] for row in heard]
    assert kinds == ["expect", "describe", "start"]
    assert heard[0][1] == [("pi", 0)]
    _, arm, text, settings = heard[1]
    assert (arm, text) == ("pi", TINY)
    assert settings["init"][0]["use"] == "triplet-hinge"


def plain_console():
    """Return a console tracker that writes plain lines to a string."""
    tracker = Console(Console.Config(every_seconds=0.0))
    tracker._console = RichConsole(file=io.StringIO(), width=120)
    return tracker, tracker._console.file


def test_the_console_prints_position_steps_scores_and_remaining_time():
    tracker, out = plain_console()
    tracker.expect([("pi", 0), ("pi", 1)])
    say = lambda kind, at, **more: tracker.log(Event(kind=kind, arm="pi", time=at, **more))  # noqa: E731
    say("run-start", 0.0)
    say("stage-start", 0.0, stage="pretrain", message="clip", total_steps=40)
    say("step", 10.0, stage="pretrain", step=10, total_steps=40, metrics={"loss": 2.5})
    few = Score(name="2afc/y", value=0.5, extra={"held_out": "anchor", "num_units": 3})
    say("scores", 40.0, samples_seen=400, scores=(Score(name="top1/x", value=0.25, stderr=0.01), few))
    say("run-end", 50.0, message="finished")
    say("run-start", 50.0, seed=1)
    shown = out.getvalue()
    assert "pi, seed 0  (run 1 of 2)" in shown
    assert "pretrain step 10/40 loss 2.5  this stage: 30 s left" in shown
    assert "after 400 samples: top1/x 0.250 ± 0.010" in shown
    assert "2afc/y 0.500 (too few anchors for an interval)" in shown
    assert "pi, seed 1  (run 2 of 2, all runs: about 50 s left)" in shown


def test_the_scores_of_all_arms_are_printed_after_each_seed_but_the_last():
    tracker, shown = plain_console()
    tracker.expect([(arm, seed) for seed in (7, 8) for arm in ("random", "pi")])
    values = {("random", 7): 0.25, ("pi", 7): 0.5, ("pi", 8): 0.75, ("random", 8): 0.5}
    for (arm, seed), value in values.items():
        scores = (Score(name="top5/x", value=0.9), Score(name="top1/x", value=value))
        tracker.log(Event(kind="run-start", arm=arm, seed=seed))
        tracker.log(Event(kind="scores", arm=arm, seed=seed, scores=(Score(name="top1/x", value=0.1),)))
        tracker.log(Event(kind="scores", arm=arm, seed=seed, scores=scores))
        tracker.log(Event(kind="run-end", arm=arm, seed=seed, time=1.0, message="finished"))
        tracker.log(
            Event(kind="run-end", arm=arm, seed=seed, time=2.0, message="already finished")
        )  # other worker
    lines = [line for line in shown.getvalue().splitlines() if line.startswith("after ")]
    assert lines == ["after 1 of 2 seeds: top1/x random 0.250, pi 0.500"]


def test_a_warning_about_all_runs_is_printed_once_and_one_about_a_stage_each_time():
    tracker, out = plain_console()
    tracker.expect([("pi", 0), ("pi", 1)])
    for seed in (0, 1):
        for stage, message in (("run", "60 of 60 images are not square"), ("init.0", "stage 1 collapsed")):
            tracker.log(Event(kind="warning", arm="pi", seed=seed, stage=stage, message=message))
    assert out.getvalue().count("not square") == 1
    assert out.getvalue().count("collapsed") == 2


def test_lines_of_concurrent_runs_are_prefixed_with_their_run():
    tracker, out = plain_console()
    tracker.expect([("pi", 0), ("random", 0)])
    for arm in ("pi", "random"):
        tracker.log(Event(kind="run-start", arm=arm))
    tracker.log(Event(kind="warning", arm="random", stage="pretrain", message="odd"))
    assert "random, seed 0: warning (pretrain): odd" in out.getvalue()


def test_the_report_contains_the_energy_that_a_tracker_recorded(tmp_path):
    from perceptinit.reports.account import _describe_energy, _mean_energy
    from perceptinit.results.runs import load_runs

    folder = write(tmp_path, [record("pi", 0, 0.5), record("pi", 1, 0.5)])
    for seed, kwh in ((0, 0.001), (1, 0.003)):
        text = f'{{"kwh": {kwh}, "library": "CodeCarbon 3"}}'
        (folder / f"pi/seed{seed}/energy.json").write_text(text)
    runs = load_runs([folder])
    assert _mean_energy(runs, "pi") == "2 Wh"
    assert _describe_energy(runs) == "Energy as estimated by CodeCarbon 3."
