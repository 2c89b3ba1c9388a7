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


def plain_console(every_seconds=0.0, primary=""):
    """Return a console tracker that writes plain lines to a string."""
    tracker = Console(Console.Config(every_seconds=every_seconds, primary=primary))
    tracker._console = RichConsole(file=io.StringIO(), width=120)
    return tracker, tracker._console.file


def log_run(tracker, arm, seconds, seed=0, begin=0.0, scores=()):
    """Send the events of a run with a stage of 40 steps."""
    for kind, at, more in (
        ("run-start", 0.0, {}),
        ("stage-start", 0.0, {"stage": "pretrain", "message": "clip", "total_steps": 40}),
        ("step", seconds / 4, {"stage": "pretrain", "step": 10, "total_steps": 40, "metrics": {"loss": 2.5}}),
        ("scores", seconds, {"samples_seen": 400, "scores": scores}),
        ("run-end", seconds, {"message": "finished"}),
    ):
        tracker.log(Event(kind=kind, arm=arm, seed=seed, time=1.7e9 + begin + at, **more))


SCORES = (
    Score(name="2afc/y", value=0.5, chance=0.5, extra={"held_out": "anchor", "num_units": 3}),
    Score(name="top1/x", value=0.25, stderr=0.01, chance=0.1),
    Score(name="embedding_spread/x", value=0.4),
)


def test_a_pipe_has_one_line_for_a_finished_run_with_its_primary_score_and_duration():
    tracker, out = plain_console(every_seconds=60.0)
    tracker.expect([("pi", 0), ("pi", 1)])
    log_run(tracker, "pi", 50.0, scores=SCORES)
    assert out.getvalue() == "pi, seed 0: top1/x 25.0 %, 50 s (1 of 2 runs, about 50 s left)\n"


def test_the_line_of_a_run_has_the_stated_primary_score():
    tracker, out = plain_console(every_seconds=60.0, primary="2afc")
    log_run(tracker, "pi", 50.0, scores=SCORES)
    assert "pi, seed 0: 2afc/y 50.0 % (too few anchors for an interval), 50 s" in out.getvalue()


def test_a_line_a_minute_names_arm_and_stage():
    tracker, out = plain_console(every_seconds=60.0)
    tracker.expect([("pi", 0), ("pi", 1)])
    log_run(tracker, "pi", 400.0)
    first, _ = out.getvalue().splitlines()
    assert first == "pi, seed 0: pretrain clip, step 10 of 40  loss 2.5 (5 min left in this stage)"
    tracker, out = plain_console(every_seconds=60.0)
    log_run(tracker, "pi", 200.0)  # the step is after 50 s
    assert len(out.getvalue().splitlines()) == 1


def test_a_second_worker_repeats_no_run_that_another_one_finished():
    tracker, out = plain_console()
    tracker.expect([("random", 0), ("pi", 0)])
    tracker.log(Event(kind="run-end", arm="random", message="already finished"))
    assert out.getvalue() == ""
    log_run(tracker, "pi", 50.0, scores=SCORES)
    assert "(2 of 2 runs)" in out.getvalue()


def test_the_time_left_counts_the_duration_of_each_arm():
    tracker, out = plain_console(every_seconds=60.0)
    tracker.expect([(arm, seed) for seed in (0, 1) for arm in ("random", "pi")])
    log_run(tracker, "random", 10.0)
    log_run(tracker, "pi", 80.0, begin=10.0)
    first, second = out.getvalue().splitlines()
    assert "1 of 4 runs, at least 30 s left" in first  # nothing is known of pi
    assert "2 of 4 runs, about 2 min left" in second  # 10 + 80 s


def test_a_failed_run_is_named_with_its_state():
    tracker, out = plain_console()
    tracker.expect([("pi", 0), ("pi", 1)])
    tracker.log(Event(kind="run-start", arm="pi", time=1.7e9))
    tracker.log(Event(kind="run-end", arm="pi", time=1.7e9 + 5, message="failed"))
    assert out.getvalue() == "pi, seed 0: failed, 5 s (0 of 2 runs)\n"


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
