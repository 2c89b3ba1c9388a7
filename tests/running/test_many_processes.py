"""Several processes on one folder: each run once, none lost, failures reported; and the output of `status`."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers.command_line import run_command
from helpers.local_trackers import tracker_source
from helpers.made_runs import record, score, write
from helpers.tiny_recipes import RECIPE as TINY

from perceptinit.errors import TrainingError, UsageError
from perceptinit.recipe.reading import read_recipe
from perceptinit.reports.status import describe_run, totals
from perceptinit.results import runs
from perceptinit.results.locks import holder, is_locked, is_sibling, lock
from perceptinit.results.measures import readable_seconds
from perceptinit.results.runs import load_runs
from perceptinit.running import sweep
from perceptinit.running.cells import Cell
from perceptinit.running.runner import run_recipe
from perceptinit.running.workers import _show_events
from perceptinit.trackers.console import Progress
from perceptinit.types import Event

# a tracker that kills its own process (-9) when the run has scores at KILL_AT samples; in the arm "random", at
# INTERRUPT_AT, it interrupts the parent process and waits for the signal
LOCAL = tracker_source(
    head="import os, signal, time",
    start="""
    self.interrupts_at = int(os.environ.get("INTERRUPT_AT", -1)) if ctx.arm == "random" else -1
    print(f"began {ctx.arm} {ctx.seed}", flush=True)
    """,
    log="""
    if event.kind == "scores" and event.samples_seen == int(os.environ.get("KILL_AT", -1)):
        os.kill(os.getpid(), signal.SIGKILL)
    if event.kind == "scores" and event.samples_seen == self.interrupts_at:
        received, handle = [], signal.getsignal(signal.SIGUSR2)
        signal.signal(signal.SIGUSR2, lambda *args: received.append(1) or handle(*args))
        os.kill(os.getppid(), signal.SIGINT)
        for _ in range(3000):
            if received:
                break
            time.sleep(0.01)
    """,
)
ROOT = Path(__file__).parents[2]
RECIPE = TINY + '[[arm]]\nname = "again"\n'
BAD_ARM = """
[[arm]]
name = "bad"
[[arm.init]]
use = "triplet-hinge"
lr = 1e30
clip_norm = 0.0
epochs = 2
batch_size = 32
[arm.init.judgments]
use = "synthetic"
num_train = 64
num_val = 16
num_test = 16
image_size = 16
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "local.py").write_text(LOCAL)
    (tmp_path / "tiny.toml").write_text(RECIPE)
    return tmp_path


def start(folder, *options, **environment):
    """Start `perceptinit run` on the recipe, like another machine that shares the folder."""
    command = [sys.executable, "-m", "perceptinit", "run", "tiny.toml", "--device", "cpu", *options]
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.Popen(
        command,
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.SIG_DFL
        ),  # tests in a background job of a shell ignore it
    )


def events(folder):
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_two_processes_share_six_runs_and_a_kill_loses_none(folder):
    killed = start(folder, KILL_AT="96")
    assert killed.stdout.readline().startswith("began")  # it holds a run before the other process starts
    other = start(folder)
    _, messages = other.communicate(timeout=120)
    assert killed.wait(timeout=120) == -9
    assert other.returncode == 0, messages
    records = sorted((folder / "runs/tiny").rglob("record.json"))
    done = [json.loads(path.read_text()) for path in records]
    assert [r["status"] for r in done] == ["finished"] * 6
    begun = [sum(e["kind"] == "run-start" for e in events(path.parent)) for path in records]
    assert sorted(begun) == [1, 1, 1, 1, 1, 2]  # only the killed run started twice
    (taken_over,) = [r for r, n in zip(done, begun, strict=True) if n == 2]
    assert taken_over["continued"]
    # equal weights to the uninterrupted run of the same initializer and seed under another name
    twin = {"pi": "again", "again": "pi"}.get(taken_over["arm"]["name"])
    for r in done:
        if twin and (r["arm"]["name"], r["seed"]) == (twin, taken_over["seed"]):
            assert r["hashes"]["final"] == taken_over["hashes"]["final"]


@pytest.mark.slow
def test_jobs_write_item_values_and_import_no_module_from_the_working_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "json.py").write_text("raise ImportError")
    before, evaluator, arms = TINY.index("[pretrain]"), TINY.index("[[eval]]"), TINY.index("[[arm]]")
    text = TINY[:before] + TINY[evaluator : TINY.index("[[track]]")] + TINY[arms:]
    recipe = read_recipe(text, source="tiny.toml", folder=folder)
    run_recipe(recipe, arms=["random"], out=folder / "runs", device="cpu", jobs=2)
    assert len(list(folder.rglob("items.safetensors"))) == 2


@pytest.mark.slow
def test_jobs_finish_all_other_runs_and_report_failed_ones(folder):
    (folder / "tiny.toml").write_text(RECIPE + BAD_ARM)
    done = start(folder, "--jobs", "2", "--seed", "0")
    table, messages = done.communicate(timeout=120)
    assert done.returncode == 1
    assert "1 of 4 runs did not finish:\n  bad, seed 0: TrainingError" in messages
    assert "More (" in table
    assert "bad, seed 0: failed" in run_command(["compare", "runs/tiny", "--all"], folder).stdout
    assert sorted(p.parents[2].name for p in folder.rglob("final.safetensors")) == [
        "again",
        "pi",
        "random",
    ]
    counts = {p.parent.parent.name: p.read_text().count("run-start") for p in folder.rglob("events.jsonl")}
    assert counts == {"again": 1, "bad": 1, "pi": 1, "random": 1}  # including the failed run


@pytest.mark.slow
def test_status_reports_ctrl_c_for_interrupted_runs_in_jobs(folder):
    interrupted = start(
        folder, "--jobs", "2", "--arm", "random", "--arm", "again", "--seed", "0", INTERRUPT_AT="48"
    )
    _, messages = interrupted.communicate(timeout=120)
    assert interrupted.returncode == 130, messages
    assert messages.splitlines()[-1] == "interrupted by Ctrl-C; rerun the command to resume"
    run = load_runs([folder / "runs/tiny"]).arm_runs("random")[0]
    assert run.state == "interrupted"
    assert "interrupted by Ctrl-C" in describe_run(run, time.time())
    assert "SIG" not in describe_run(run, time.time())


def test_a_failure_does_not_stop_the_other_runs_of_one_process(folder):
    recipe = read_recipe(RECIPE, overrides=["pretrain.lr=1e30", "pretrain.clip_norm=1e30"], folder=folder)
    with pytest.raises(Exception, match=r"the loss is (nan|inf)") as error:
        run_recipe(recipe, arms=["random", "pi"], seeds=[0], out=folder / "runs", device="cpu")
    assert error.value.__notes__[0].startswith("pi, seed 0 also failed: TrainingError")
    assert load_runs([folder / "runs/tiny"]).arm_runs("pi")[0].state == "failed"


def test_a_plugin_that_exits_in_a_run_is_named_and_the_other_runs_continue(folder):
    local = tracker_source(
        """
        if event.kind == "scores" and event.arm == "random":
            raise SystemExit(0)
        """
    )
    (folder / "local.py").write_text(local)
    recipe = read_recipe(RECIPE, folder=folder)
    with pytest.raises(TrainingError, match=r"^SystemExit: 0$"):
        run_recipe(recipe, arms=["random", "pi"], seeds=[0], out=folder / "runs", device="cpu")
    found = load_runs([folder / "runs/tiny"])
    assert [found.arm_runs(arm)[0].state for arm in ("random", "pi")] == ["failed", "finished"]
    assert found.arm_runs("random")[0].reason == "SystemExit: 0"


def test_a_claim_is_exclusive_and_ends_with_its_process(tmp_path):
    code = (
        "import sys; from pathlib import Path; from perceptinit.results.locks import lock\n"
        "with lock(Path(sys.argv[1])) as mine: print(mine, flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout.readline() == "True\n"
    assert is_locked(tmp_path)
    assert holder(tmp_path)["pid"] == process.pid
    assert not is_sibling(tmp_path)
    look = "import sys; from pathlib import Path; from perceptinit.results.locks import is_sibling\n"
    look += "sys.exit(not is_sibling(Path(sys.argv[1])))"
    subprocess.run([sys.executable, "-c", look, tmp_path], check=True, cwd=ROOT)
    with lock(tmp_path) as is_mine:
        assert not is_mine
    process.kill()
    process.wait()
    assert not is_locked(tmp_path)
    with lock(tmp_path) as is_mine:
        assert is_mine


class PauseError(Exception):
    """Raised in place of the first pause."""


@pytest.mark.parametrize(("is_job", "num_warnings"), [(False, 1), (True, 0)])
def test_jobs_do_not_warn_that_they_wait_for_each_other(folder, monkeypatch, is_job, num_warnings):
    def pause(seconds):
        raise PauseError

    monkeypatch.setattr(sweep.time, "sleep", pause)
    recipe = replace(read_recipe(RECIPE, source="tiny.toml", folder=folder), tracks=())
    cell = Cell(recipe, recipe.arm("random"), 0, folder / "runs/tiny")
    shown = []
    console = SimpleNamespace(log=shown.append, expect=lambda runs: None, close=lambda: None)
    with lock(cell.folder), pytest.raises(PauseError):
        sweep.Sweep([cell], "cpu", is_job=is_job).work(console)
    texts = [event.message.partition(",")[0] for event in shown]
    assert texts == ["waiting for random"] * num_warnings


def test_fresh_refuses_a_run_in_use(folder):
    recipe = read_recipe(RECIPE, source="tiny.toml", folder=folder)
    with lock(folder / "runs/tiny/pi/seed0"), pytest.raises(UsageError, match="in use by"):
        run_recipe(recipe, out=folder / "runs", device="cpu", fresh=True)


def test_status_prints_every_state(cli, tmp_path):
    records = [
        record("random", 0, [score(0.5)]),
        record("pi", 0, [score(0.4)], status="failed", error="TrainingError: the loss is nan"),
        record("shuffled", 0, [score(0.4)], status="running"),
    ]
    write(tmp_path, records)
    done = cli("status", ".")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "random 0 finished 60 s; 100 samples; top1/x 50.0" in lines
    assert "pi 0 failed after 100 samples; TrainingError: the loss is nan" in lines
    assert "random 1 not started" in lines
    assert any(line.startswith("shuffled 0 stopped after 100 samples; its process ended") for line in lines)
    assert "9 runs: 1 finished, 1 stopped, 1 failed, 6 not started" in lines


def test_status_of_a_running_run_prints_step_and_remaining_time(tmp_path):
    folder = write(tmp_path, [record("pi", 0, [], status="running")])
    rows = [
        {"kind": "stage-start", "stage": "pretrain", "time": 1000.0},
        {"kind": "step", "stage": "pretrain", "step": 10, "total_steps": 40, "time": 1020.0},
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows) + '{"cut off'
    (folder / "pi/seed0/events.jsonl").write_text(text)
    with lock(folder / "pi/seed0"):
        runs = load_runs([folder])
        run = next(r for r in runs.runs if r.state == "running")
        shown = describe_run(run, now=1025.0)
    # 2 s per step, 30 steps remain
    assert shown.startswith("pretrain step 10 of 40, 60 s left in the stage, last event 5 s ago")
    assert f"process {os.getpid()} on" in shown
    assert totals(runs).startswith("9 runs: 1 running, 8 not started")


def left(seconds, bound="about"):
    return f"{bound} {readable_seconds(seconds)} left"


def test_the_remaining_time_counts_running_and_waiting_runs():
    progress = Progress([("a", 0), ("a", 1), ("a", 2)])
    event = lambda kind, seed, at, message="": progress.follow(  # noqa: E731
        Event(kind=kind, arm="a", seed=seed, time=at, message=message)
    )
    event("run-start", 0, 0.0)
    assert progress.time_left() == ""
    event("run-end", 0, 100.0, "finished")
    event("run-start", 1, 100.0)
    event("warning", 1, 130.0)
    # 100 s per run: 70 s of this run and 100 s of the next
    assert progress.time_left() == left(170)
    event("run-start", 2, 130.0)
    assert progress.time_left() == left((70 + 100) / 2)


def test_the_remaining_time_of_a_new_arm_is_at_least_that_of_the_slowest_run():
    progress = Progress([("a", 0), ("b", 0), ("c", 0)])
    for arm, begin, end in (("a", 0.0, 100.0), ("b", 100.0, 400.0)):
        progress.follow(Event(kind="run-start", arm=arm, time=begin))
        progress.follow(Event(kind="run-end", arm=arm, time=end, message="finished"))
    assert progress.time_left() == left(300, "at least")


def test_the_remaining_time_ignores_runs_of_earlier_processes():
    progress = Progress([("a", seed) for seed in range(4)])
    at = 1.7e9  # seconds since the epoch
    events = [
        Event(kind="run-end", arm="a", seed=0, time=at, message="run 1 of 4: already finished"),
        Event(kind="run-start", arm="a", seed=1, time=at),
        Event(kind="notice", arm="a", seed=1, time=at, message="continued after step 260 of init.0"),
        Event(kind="run-end", arm="a", seed=1, time=at + 10, message="finished"),
        Event(kind="run-start", arm="a", seed=2, time=at + 10),
    ]
    for event in events:
        progress.follow(event)
        assert progress.time_left() == ""
    progress.follow(Event(kind="run-end", arm="a", seed=2, time=at + 110, message="finished"))
    assert progress.time_left() == left(100)
    assert [run.state for run in progress.runs.values()] == ["kept", "finished", "finished", "waiting"]


def test_a_resumed_stage_estimates_its_time_from_its_own_steps():
    progress = Progress([("a", 0)])
    begin = 1.7e9  # seconds since the epoch
    progress.follow(Event(kind="stage-start", arm="a", time=begin, stage="pretrain", total_steps=1000))
    for step in (910, 920):
        event = Event(kind="step", arm="a", time=begin + step, stage="pretrain", step=step, total_steps=1000)
        run = progress.follow(event)
    assert run.stage.seconds_left(begin + 920) == pytest.approx(80)


def test_the_live_view_shows_runs_bars_and_remaining_time():
    from rich.console import Console

    from perceptinit.progress import Bars
    from perceptinit.trackers.console import render

    progress = Progress([("random", 0), ("pi", 0), ("pi", 1)])
    for kind, seed, more in (
        ("run-start", 0, {}),
        ("stage-start", 0, {"stage": "pretrain", "message": "clip", "total_steps": 40}),
        ("step", 0, {"stage": "pretrain", "step": 10, "total_steps": 40, "metrics": {"loss": 2.5}}),
    ):
        progress.follow(Event(kind=kind, arm="pi", seed=seed, time=time.time(), **more))
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(render(progress, Bars()))
    shown = console.export_text()
    assert "seed 0" in shown
    assert "pi, seed 0" in shown
    assert "10/40" in shown
    assert "loss 2.5" in shown
    assert "0 of 3 runs" in shown


def test_missing_runs_are_searched_once_per_plan(tmp_path, monkeypatch):
    looked = []
    look = runs._find_missing
    monkeypatch.setattr(runs, "_find_missing", lambda *given: looked.append(1) or look(*given))
    made = load_runs([write(tmp_path, [record("pi", seed, 0.5) for seed in range(3)])])
    assert [r.state for r in made.runs].count("not started") == 6
    assert len(looked) == 1


@pytest.mark.slow
def test_a_line_of_a_library_in_a_job_is_shown_as_text(folder):
    writes = "os.write(1, b'NCCL INFO from C\\n' * 5000)"
    (folder / "local.py").write_text(LOCAL.replace("print(f", f"{writes}; print(f"))
    done = start(folder, "--jobs", "2", "--arm", "random", "--seed", "0", "--seed", "1")
    _, messages = done.communicate(timeout=120)
    assert (done.returncode, "NCCL INFO from C" in messages) == (0, True)


def test_a_line_that_is_not_an_event_is_shown_as_text(capsys):
    _show_events(io.StringIO('NCCL INFO from C\n{"kind": "x"}\n[1]\n{"scores": [{"no": 1}]}\n'), None)
    assert capsys.readouterr().err.splitlines()[0] == "NCCL INFO from C"


def test_sigterm_after_the_last_output_does_not_change_the_exit_code(tmp_path):
    source = (
        "import atexit, os, signal\n"
        "from perceptinit.running.interruption import exit_when_stopped\n"
        "class Late:\n    def __del__(self): os_kill(pid, 15)\n"
        "os_kill, pid = os.kill, os.getpid()\n"
        "atexit.register(os.kill, os.getpid(), signal.SIGTERM)\n"
        "with exit_when_stopped():\n    print('done', flush=True)\n"
        "late = Late()\n"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", source], env=env, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
