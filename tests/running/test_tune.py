"""Equal tuning of all arms: the best settings, resume after a kill, and reports."""

import json
import math
import os
import shlex
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from helpers.fake_slurm import fake_slurm, runs_of
from helpers.made_runs import record, score, write
from helpers.short_recipes import BACKBONE

from perceptinit.analysis.compare import compare
from perceptinit.recipe.settings import TuneConfig
from perceptinit.reports.report import render
from perceptinit.reports.tuning import search_figure, search_rows
from perceptinit.results.runs import load_experiments, load_runs
from perceptinit.results.tuned import Search, Trial, find_trials, read_searches
from perceptinit.running.frozen import describe_cells, restore_cells
from perceptinit.running.tuning import Tune
from perceptinit.verdict.headline import Judged

ROOT = Path(__file__).parents[2]
# a pretrainer whose score decreases with the distance of its learning rate from the best one; far above, it diverges
LOCAL = """
    import math, os, signal
    from dataclasses import dataclass
    import torch
    from perceptinit import Component, hookimpl
    from perceptinit.configs import PositiveFloat, PositiveInt
    from perceptinit.errors import TrainingError
    from perceptinit.types import Score, StepResult

    BEST = {"random": 1e-3, "pi": 1e-1}

    @hookimpl
    def perceptinit_pretrainers():
        return [Component(name="local/planted", target=Planted, summary="knows the best learning rate")]

    @hookimpl
    def perceptinit_evaluators():
        return [Component(name="local/read", target=Read, summary="reads what it wrote")]

    class Planted:
        @dataclass(frozen=True, slots=True, kw_only=True)
        class Config:
            lr: PositiveFloat = 1e-3
            batch_size: PositiveInt = 4
            epochs: PositiveInt = 1
            betas: tuple[float, float] = (0.9, 0.98)
            schedule: str = "cosine"

        def __init__(self, config):
            self.config = config

        def steps(self, model, ctx):
            if os.environ.get("KILL_AT") == f"{ctx.arm} {ctx.seed}":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.config.lr > 50 * BEST[ctx.arm]:
                raise TrainingError("the loss is nan")
            distance = abs(math.log10(self.config.lr / BEST[ctx.arm]))
            with torch.no_grad():
                next(model.text.parameters()).fill_(1 - distance / 5)
            yield StepResult(step=1, epoch=1, samples_seen=16, metrics={}, end_of_epoch=True)

        def state_dict(self):
            return {}

        def load_state_dict(self, state):
            pass

    class Read:
        @dataclass(frozen=True, slots=True, kw_only=True)
        class Config:
            data: str = "test"

        def __init__(self, config):
            self.config = config

        def evaluate(self, model, ctx):
            value = float(next(model.text.parameters()).flatten()[0])
            yield Score(name=f"top1/{self.config.data}", value=value, num_examples=100, chance=0.1)
"""
RECIPE = (
    """
schema = 1
name = "planted"
seeds = [0, 1]
plugins = ["local.py"]
"""
    + BACKBONE
    + """[pretrain]
use = "local/planted"
[[eval]]
use = "local/read"
every = "end"
[[track]]
use = "jsonl"
[tune]
measure = "top1"
trials = 4
[tune.eval]
use = "local/read"
data = "val"
[tune.space]
pretrain.lr = { low = 1e-4, high = 1.0, scale = "log" }
[[arm]]
name = "random"
[[arm]]
name = "pi"
init = [{ use = "random" }]
"""
)


@pytest.fixture
def place(tmp_path, monkeypatch):
    (tmp_path / "planted.toml").write_text(RECIPE)
    (tmp_path / "local.py").write_text(textwrap.dedent(LOCAL))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def at_best(place, out="runs"):
    """Return the learning rate of each arm in its final runs."""
    records = [json.loads(p.read_text()) for p in (place / out / "planted-best").rglob("record.json")]
    assert len(records) == 4
    assert all(r["status"] == "finished" for r in records)
    return {(r["arm"]["name"], r["arm"]["resolved"]["pretrain"]["lr"]) for r in records}


def test_tuning_finds_the_planted_learning_rate_of_each_arm_and_reports_two_tables(place, verb):
    shown = verb("tune", "planted.toml")
    rates = dict(at_best(place))
    assert len(at_best(place)) == 2  # equal for all seeds of an arm
    # each of the 4 trials of a search covers a decade
    assert abs(math.log10(rates["random"] / 1e-3)) < 0.67
    assert abs(math.log10(rates["pi"] / 1e-1)) < 0.67

    shared, best = shown.split("Each arm at its best settings: differences come")
    assert "pi scores 60.0 %, random 100.0 %: -40.0 points" in shared  # lr 1e-3, the best rate of random
    assert "Each arm has its own settings, the best of its median search" in best
    best = verb("compare", "runs/planted-best", "--all")
    assert "Each at its best settings: is it better than random?" in best
    assert "This compares procedures, tuning included, and not initializations alone" in best
    assert f"pi at its best: pretrain.lr {rates['pi']}" in best
    assert "worth it" not in best

    trials = load_runs([place / "runs/planted-trials"])
    assert len(trials.runs) == 24
    assert {run.state for run in trials.runs} == {"finished", "failed"}  # some diverged
    assert {row["name"] for run in trials.finished for row in run.scores} == {"top1/val"}
    by_seed = {}
    for run in trials.runs:
        by_seed.setdefault(run.seed, set()).add(run.record["arm"]["resolved"]["pretrain"]["lr"])
    assert all(len(rates) == 1 for rates in by_seed.values())  # the same points for all arms

    before = {path: path.stat().st_mtime_ns for path in place.rglob("record.json")}
    verb("tune", "planted.toml")
    assert before == {path: path.stat().st_mtime_ns for path in place.rglob("record.json")}
    names = [e.name for e in load_experiments([place / "planted.toml"], place / "runs")]
    assert names == ["planted", "planted-trials", "planted-best"]
    page = render(Judged.of(compare(load_runs([place / "runs/planted"]))), with_examples=False)
    assert "Best after k trials" in page
    assert "Each arm at its best settings" in page


FEW = ("planted.toml", "--set", "tune.searches=1", "--set", "tune.trials=2")


def execute(shown, cli):
    """Run the printed commands; returns their exit codes."""
    words = [shlex.split(line) for line in shown.stdout.splitlines()]
    assert all("perceptinit" in line for line in words)
    return [cli(*line[line.index("perceptinit") + 1 :]).returncode for line in words]


def test_printed_commands_of_trials_and_final_runs_reproduce_a_local_tuning(place, cli):
    trials = cli("tune", *FEW, "--submit", "commands")
    assert execute(trials, cli) == [0, 0, 1, 0]  # training diverged in one run
    before = {path: path.read_bytes() for path in place.rglob("record.json")}
    assert execute(trials, cli) == [0, 0, 0, 0]
    assert before == {path: path.read_bytes() for path in place.rglob("record.json")}
    assert execute(cli("tune", *FEW, "--submit", "commands"), cli) == [0] * 8
    done = cli("tune", *FEW, "--submit", "commands")
    assert (done.stdout, done.returncode) == ("", 0)
    assert done.stderr.endswith("All runs are finished. For the tables: perceptinit report runs/planted\n")
    tables = [
        cli("tune", *FEW, "--out", folder).stdout.replace("alone/", "runs/") for folder in ("runs", "alone")
    ]
    assert tables[0] == tables[1]
    assert at_best(place) == at_best(place, "alone")


@pytest.mark.parametrize("is_run", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_shared_final_runs_use_the_launch_settings_of_the_tuned_recipe(place, cli, is_run):
    (place / "child.toml").write_text(
        'schema = 1\nname = "child"\nlike = "planted.toml"\ntake = ["random", "pi"]\n[jobs]\nwrap = "nice -n 1"\n'
    )
    words = ("tune", "child.toml", *FEW[1:], "--submit", "commands")
    execute(cli(*words), cli)
    shown = cli(*words)
    final = shown.stdout.splitlines()
    assert len(final) == 8
    assert all(line.startswith("nice -n 1 perceptinit run ") for line in final)
    assert sum("/child/.slurm/" in line for line in final) == 4
    if is_run:
        assert execute(shown, cli) == [0] * 8
        assert "Records, weights and events: runs/child\n" in cli(*words[:-2]).stdout


def test_slurm_runs_the_trials_then_the_final_runs(place, verb, cli, monkeypatch):
    fake = fake_slurm(place, monkeypatch)
    words = ("tune", *FEW, "--submit", "slurm", "--set", "jobs.partition=long", "--set", "jobs.gpus=0")
    shown = verb(*words)
    trials = [f"{arm} {seed}" for seed in (1000, 1001) for arm in ("random", "pi")]
    assert runs_of(fake, 11) == trials
    assert "Submitted 4 runs (0 finished, 0 already in the queue or running): job 11. Progress: " in shown
    assert "Progress: perceptinit status runs/planted-trials" in shown
    (fake / "queue").write_text("".join(f"11_{task}|PENDING|\n" for task in range(4)))
    assert "Nothing to submit: 0 finished, 4 already in the queue or running" in verb(*words)
    (fake / "queue").unlink()
    execute(cli("tune", *FEW, "--submit", "commands"), cli)
    shown = verb(*words)
    final = [f"{arm} {seed}" for seed in (0, 1) for arm in ("random", "pi")]
    assert [runs_of(fake, job) for job in (12, 14)] == [final, final]  # 13 and 15 write tables
    assert "status runs/planted " in shown
    assert "status runs/planted-best" in shown
    assert "When these runs have ended, run the same command again." in shown
    assert "--submit does not support --fresh. Use another --out" in verb(*words, "--fresh", code=2)


@pytest.mark.slow
def test_a_killed_tuning_resumes_to_the_same_result(place, verb):
    """Slow: kills a real process."""
    command = [sys.executable, "-m", "perceptinit", "tune", *FEW]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "KILL_AT": "pi 1001"}
    killed = subprocess.run(command, cwd=place, env=env, capture_output=True, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert len(list((place / "runs/planted-trials").rglob("record.json"))) == 4  # the fourth has just started
    verb("tune", *FEW)
    verb("tune", *FEW, "--out", "uninterrupted")
    assert at_best(place) == at_best(place, "uninterrupted")


def test_workers_receive_the_recipe_of_each_trial(place):
    cells = Tune(place / "planted.toml", (), Path("runs"), fresh=False, jobs=1).trials
    told = restore_cells(json.loads(json.dumps(describe_cells(cells))))
    assert [(c.title, c.folder) for c in told] == [(c.title, c.folder) for c in cells]
    assert [c.recipe.fingerprint(c.arm) for c in told] == [c.recipe.fingerprint(c.arm) for c in cells]
    assert len({c.recipe.fingerprint(c.arm) for c in told}) == 24


def test_an_unknown_tune_measure_is_reported_after_the_first_trial(place, verb):
    told = verb("tune", "planted.toml", "--set", "tune.measure=top2", code=2)
    assert "[tune.eval] has no score of the [tune] measure 'top2'. Did you mean 'top1'? Known: top1" in told
    assert len(list(place.rglob("record.json"))) == 1


def test_trials_of_a_different_search_space_are_not_mixed(place, verb):
    few = ("--set", "tune.trials=1", "--set", "tune.searches=1", "--set", "seeds=[0]")
    verb("tune", "planted.toml", *few)
    other = verb("tune", "planted.toml", *few, "--set", "tune.space.pretrain.lr.high=0.5", code=2)
    assert "contains a run with other settings" in other
    other = verb("tune", "planted.toml", *few, "--set", "tune.trials=2", code=2)
    assert "planted-best contains arms tuned with other trials, seeds" in other


def test_tune_of_a_recipe_without_a_tune_table_is_refused(place, verb):
    recipe, _, rest = RECIPE.partition("[tune]")
    (place / "planted.toml").write_text(recipe + rest[rest.index("[[arm]]") :])
    assert "[tune] is missing. Add it" in verb("tune", "planted.toml", code=2)


def test_validate_prints_the_number_of_tuning_runs(place, verb):
    shown = verb("validate", "planted.toml")
    assert "tune: 4 trials x 3 searches x 2 arms = 24 runs with the seeds 1000 to 1011" in shown
    assert "then 4 runs with each arm at its best. In all, 7 times the cost" in shown


def search(*values):
    """Return a search of 3 searches with these values, search by search; None: failed."""
    num = len(values) // 3
    config = TuneConfig(measure="top1", trials=num)
    ordered = [values[own * num + k] for k in range(num) for own in range(3)]
    trials = [
        Trial("pi", i, {"pretrain.lr": str(i)}, value, -math.inf if value is None else value)
        for i, value in enumerate(ordered)
    ]
    return Search("pi", config, tuple(trials))


def test_an_arm_uses_the_best_trial_of_its_median_search():
    found = search(0.1, 0.5, 0.9, 0.2, 0.3, None)  # searches find 0.5, 0.9 and 0.3
    assert found.median().value == 0.5
    assert [trial.value for trial in found.best_after(1)] == [0.1, 0.9, 0.3]
    assert found.median(1).value == 0.3


def test_a_failed_trial_ranks_last_and_is_not_drawn():
    found = search(None, 0.5, None, 0.2, None, 0.3)
    assert found.median().value == 0.3
    assert found.median(1).value is None
    figure = search_figure([found], ["pi"])
    assert "pi from 0.3 after 2 to 0.3 after 2" in figure.alt


def test_the_report_lists_only_tuned_keys_that_an_arm_has(tmp_path):
    def run(arm, stages):
        one = record(arm, 1000, [score(0.5, name="top1/val")])
        one["recipe"]["text"] += '[tune]\nmeasure = "top1"\ntrials = 1\nsearches = 1\nrole = "trial"\n'
        one["recipe"]["text"] += "[tune.space]\ninit.lr = {}\npretrain.lr = {}\n"
        one["recipe"]["overrides"] = ["pretrain.lr=0.25", "init.lr=0.5"]
        one["arm"]["resolved"] |= {"init": stages, "pretrain": {"use": "clip", "lr": 0.25}}
        return one

    root = write(tmp_path, [run("random", []), run("pi", [{"use": "triplet-hinge", "lr": 0.5}])])
    config = TuneConfig(measure="top1", trials=1, searches=1)
    found = read_searches(list(find_trials(root)), config, ["random", "pi"])
    assert [row[-1] for row in search_rows(found)] == ["pretrain.lr 0.25", "pretrain.lr 0.25, init.lr 0.5"]
