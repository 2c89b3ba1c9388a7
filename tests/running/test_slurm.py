"""`perceptinit run --submit slurm`: submitted jobs and their tasks, with replacements for the programs of Slurm."""

import json
import os
import shlex
import signal
import subprocess
import sys

import pytest
import torch
from helpers.fake_slurm import fake_slurm, runs_of
from helpers.made_runs import record, score, write
from helpers.tiny_recipes import RECIPE

from perceptinit.cli import create_app
from perceptinit.components.plugin_manager import build_plugin_manager
from perceptinit.compute.distributed import LAUNCHER
from perceptinit.errors import CheckpointError, DataError, RecipeError, UsageError
from perceptinit.files.checkpoints import save_weights, weights_sha256
from perceptinit.recipe.reading import read_recipe
from perceptinit.recipe.settings import JobsConfig
from perceptinit.reports.status import status_table
from perceptinit.results.locks import lock
from perceptinit.results.runs import load_experiments
from perceptinit.results.states import note_job
from perceptinit.running.cells import plan_cells
from perceptinit.running.commands import list_commands
from perceptinit.running.frozen import describe_cells, freeze, restore_cells, thaw
from perceptinit.running.queue import in_queue, queue
from perceptinit.running.slurm import max_tasks, submit
from perceptinit.running.torchrun import is_launcher, run_in_processes

SLURM = """
[jobs]
partition = "long"
time = "8:00:00"
gpus = 0
"""


@pytest.fixture
def fake(tmp_path, monkeypatch):
    return fake_slurm(tmp_path, monkeypatch)


@pytest.fixture
def out(tmp_path):
    """Return the folder of runs; its parent contains the tracker of the recipe."""
    local = "from perceptinit import Component, hookimpl\n\n@hookimpl\ndef perceptinit_trackers():\n    return []\n"
    (tmp_path / "local.py").write_text(local)
    return tmp_path / "runs"


def planned(out, slurm=SLURM, overrides=()):
    text = RECIPE.partition("[[track]]")[0] + ARMS + slurm
    recipe = read_recipe(text, source="tiny.toml", folder=out.parent, overrides=overrides)
    return recipe, plan_cells(recipe, out=out)


def cells(*arguments):
    return planned(*arguments)[1]


ARMS = """
[[arm]]
name = "random"
init = []
[[arm]]
name = "pi"
"""


def sent(out, **options):
    return submit(*planned(out), out=out, device="cpu", **options)


def options(fake, job):
    return (fake / f"job{job}.options").read_text().splitlines()


def task(fake, job, index, **environment):
    """Run the script of a job like Slurm runs one of its tasks."""
    env = {**os.environ, "SLURM_ARRAY_TASK_ID": str(index), "SLURM_ARRAY_JOB_ID": str(job),
           "SLURM_JOB_ID": "20005", "SLURM_JOB_NODELIST": "n[1-2]", **environment}  # fmt: skip
    command = ["bash", str(fake / f"script{job}")]
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False)


def test_runs_are_tasks_of_one_array_and_a_dependent_job_writes_the_table(fake, out):
    done = sent(out)
    assert done.jobs == ("11",)
    assert (done.num_runs, done.table_job) == (4, "12")
    assert runs_of(fake, 11) == ["random 0", "pi 0", "random 1", "pi 1"]
    assert {"--partition=long", "--array=0-3", "--time=8:00:00", "--nodes=1", "--requeue"} <= set(
        options(fake, 11)
    )
    assert not any(option.startswith("--gpus") for option in options(fake, 11))
    assert "--dependency=afterany:11" in options(fake, 12)


def frozen(out):
    (found,) = (out / "tiny/.slurm").glob("recipe-*.json")
    return found


def test_a_task_runs_its_arm_and_seed_of_the_frozen_recipe(fake, out):
    recipe, cells = planned(out, overrides=["pretrain.lr=0.25"])
    submit(recipe, cells, out=out, device="cpu", num_workers=3)
    shown = task(fake, 11, 3)
    command = f"{sys.executable} -P -m perceptinit run {frozen(out)} --device cpu"
    assert shown.stdout.endswith(f" {command} --workers 3 --arm pi --seed 1\n")
    assert shown.returncode == 0
    copy, runs = thaw(frozen(out))
    assert (copy.text, copy.overrides, copy.source) == (recipe.text, recipe.overrides, recipe.source)
    assert [(c.folder, c.recipe.fingerprint(c.arm)) for c in runs] == [
        (c.folder, recipe.fingerprint(c.arm)) for c in cells
    ]


def test_a_shared_run_keeps_its_folder_and_settings_in_a_job_and_in_a_worker(out):
    (out.parent / "tiny.toml").write_text(RECIPE.partition("[[track]]")[0] + ARMS)
    text = 'like = "tiny.toml"\nname = "more"\ntake = ["random"]\n[checkpoint]\nkeep = 5\n[[arm]]\nname = "new"\n'
    recipe = read_recipe(text, source="more.toml", folder=out.parent)
    planned = plan_cells(recipe, out=out)
    _, thawed = thaw(freeze(recipe, planned, out / "more"))
    told = restore_cells(json.loads(json.dumps(describe_cells(planned))))
    before, *after = (
        [(c.arm.name, c.seed, c.folder, c.is_shared, c.recipe.name, c.recipe.checkpoint.keep) for c in found]
        for found in (planned, thawed, told)
    )
    assert after == [before, before]
    assert ("random", 0, out / "tiny/random/seed0", True, "tiny", 5) in before


def test_a_frozen_recipe_that_was_edited_is_refused(fake, out):
    sent(out)
    file = frozen(out)
    file.write_text(file.read_text().replace("epochs = 2", "epochs = 3"))
    with pytest.raises(DataError, match="not a frozen recipe, or edited"):
        thaw(file)


def test_a_frozen_recipe_with_a_changed_variable_is_refused(fake, out, monkeypatch):
    monkeypatch.setenv("PRECISION", "fp32")
    recipe, cells = planned(out, overrides=["pretrain.precision=${PRECISION}"])
    file = freeze(recipe, cells, out / "tiny")
    assert thaw(file)
    monkeypatch.setenv("PRECISION", "bf16")
    with pytest.raises(UsageError, match="random, seed 0 differ from the frozen settings"):
        thaw(file)


def test_editing_a_recipe_does_not_change_queued_runs(fake, out):
    sent(out)
    (fake / "queue").write_text("11_1|PENDING|(Priority)\n")
    edited = planned(out, overrides=["pretrain.warmup_steps=3"])
    with pytest.raises(UsageError, match="pi, seed 0 is in the queue with an earlier version of the recipe"):
        submit(*edited, out=out, device="cpu")
    assert len(list(fake.glob("job*"))) == 2
    assert thaw(frozen(out))[0].pretrain.table()["warmup_steps"] == 1


def test_processes_of_several_nodes_use_the_first_node_and_a_port_of_the_job(fake, out):
    slurm = '[jobs]\npartition = "long"\ngpus = 4\nnodes = 2\nsetup = ["export LOADED=cuda"]\n'
    submit(*planned(out, slurm), out=out)
    assert {"--nodes=2", "--gpus-per-node=4", "--ntasks-per-node=1"} <= set(options(fake, 11))
    shown = task(fake, 11, 0).stdout
    assert shown.startswith("srun 2 n1:20005 cuda --wait=60 ")
    assert shown.endswith("--nproc 4 --arm random --seed 0\n")


def test_one_process_per_node_starts_torchrun(monkeypatch):
    place = {"PET_NNODES": "2", "PET_RDZV_BACKEND": "c10d", "PET_RDZV_ENDPOINT": "n1:20005"}
    assert not is_launcher(1)
    for name, value in place.items():
        monkeypatch.setenv(name, value)
    assert is_launcher(1)
    launched = []
    monkeypatch.setenv("PYTHONPATH", "mine")
    monkeypatch.setenv("PYTHONSAFEPATH", "")
    monkeypatch.setattr("torch.distributed.run.run", launched.append)
    before = signal.getsignal(signal.SIGUSR1)
    try:
        run_in_processes(1, ["run", "tiny.toml"])
    finally:
        signal.signal(signal.SIGUSR1, before)
        os.environ.pop(LAUNCHER)
    (asked,) = launched
    assert (asked.nnodes, asked.nproc_per_node, asked.rdzv_endpoint) == ("2", "1", "n1:20005")
    assert not asked.standalone
    # a json.py in the working folder is not imported
    assert os.environ["PYTHONSAFEPATH"] == "1"
    assert os.environ["PYTHONPATH"].endswith(f"{os.pathsep}mine")


def test_only_runs_that_are_neither_finished_nor_in_use_are_submitted(fake, out):
    note_job(out / "tiny", "7", [{"arm": "random", "seed": 1}, {"arm": "pi", "seed": 1}])
    (fake / "queue").write_text("7_0|PENDING|(Priority)\n")
    write_finished(out, "random", 0)
    with lock(out / "tiny/pi/seed0"):
        done = sent(out)
    assert runs_of(fake, 11) == ["pi 1"]  # its job is no longer in the queue
    assert (done.num_finished, done.num_queued) == (1, 2)
    assert "--dependency=afterany:11:7" in options(fake, 12)


def write_finished(out, arm, seed):
    """Write the record and the weights of a finished run of the recipe."""
    (cell,) = [c for c in cells(out) if (c.arm.name, c.seed) == (arm, seed)]
    weights = {"bias": torch.ones(1)}
    made = record(arm, seed, 0.5, fingerprint=cell.recipe.fingerprint(cell.arm))
    made["hashes"] = {"final": {"model": weights_sha256(weights)}}
    write(out, [made])
    cell.folder.parent.mkdir(parents=True, exist_ok=True)
    (out / f"made/{arm}/seed{seed}").rename(cell.folder)
    save_weights(cell.folder / "weights/final.safetensors", weights)


@pytest.mark.parametrize("submission", [submit, list_commands])
def test_a_finished_run_without_its_weights_is_reported_and_nothing_is_submitted(fake, out, submission):
    write_finished(out, "random", 0)
    weights = out / "tiny/random/seed0/weights/final.safetensors"
    save_weights(weights, {})
    with pytest.raises(CheckpointError, match=rf"{weights}: .*To repeat the run, use --fresh"):
        submission(*planned(out), out=out, device="cpu")
    assert not list(fake.iterdir())


def test_queued_runs_are_not_submitted_again(fake, out):
    sent(out)
    (fake / "queue").write_text("".join(f"11_{i}|PENDING|(None)\n" for i in range(4)))
    done = sent(out)
    assert (done.jobs, done.num_queued, done.table_job) == ((), 4, "")
    assert str(done).startswith("Nothing to submit: 0 finished, 4 already in the queue or running")
    assert len(list(fake.glob("job*"))) == 2


def test_queued_runs_with_another_job_name_are_not_submitted_again(fake, out):
    named = planned(out, SLURM + 'options = ["--job-name=x"]\n')
    submit(*named, out=out)
    (fake / "queue").write_text("".join(f"11_{i}|PENDING|(None)\n" for i in range(4)))
    assert submit(*named, out=out).num_queued == 4
    assert len(list(fake.glob("job*"))) == 2


def test_jobs_unknown_to_slurm_do_not_count_as_queued(fake, out):
    sent(out)
    squeue = out.parent / "programs/squeue"
    squeue.write_text("#!/bin/bash\necho 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1\n")
    assert queue(out / "tiny") == {}


def test_arrays_respect_the_limit_of_the_cluster(fake, out, monkeypatch):
    monkeypatch.setenv("MAX", "3")
    assert sent(out).jobs == ("11", "12")
    assert "--array=0-2" in options(fake, 11)
    assert runs_of(fake, 12) == ["pi 1"]
    assert "--dependency=afterany:11:12" in options(fake, 13)
    assert max_tasks("MaxArraySize = 1001\nSchedulerParameters = bf,max_array_tasks=200") == 200
    with pytest.raises(UsageError, match="so job arrays are disabled"):
        max_tasks("MaxArraySize = 0")


def test_runs_refused_by_a_limit_are_submitted_by_rerunning_the_command(fake, out, monkeypatch):
    monkeypatch.setenv("MAX", "3")
    monkeypatch.setenv("REFUSES", "12")
    with pytest.raises(UsageError, match=r"sbatch failed: .*QOSMaxSubmitJobPerUserLimit"):
        sent(out)
    (fake / "queue").write_text("".join(f"11_{i}|RUNNING|n1\n" for i in range(3)))
    monkeypatch.delenv("REFUSES")
    assert sent(out).jobs == ("12",)
    assert runs_of(fake, 12) == ["pi 1"]


@pytest.mark.parametrize(
    ("ends", "state", "asked"),
    [("75", "RUNNING", "requeue 11_2\n"), ("75", "COMPLETING", ""), ("1", "RUNNING", "")],
    ids=["saved", "cancelled", "failed"],
)
def test_a_task_that_saved_is_requeued_unless_canceled(fake, out, ends, state, asked):
    sent(out)
    assert task(fake, 11, 2, ENDS=ends, STATE=state).returncode == int(ends)
    file = fake / "asked"
    assert (file.read_text() if file.exists() else "") == asked


def test_a_task_fails_after_two_requeues_without_a_new_checkpoint(fake, out):
    sent(out)
    checkpoints = out / "tiny/random/seed1/checkpoints"
    checkpoints.mkdir(parents=True)
    for number in (7, 8):
        (checkpoints / f"checkpoint-{number:06d}.safetensors").touch()
        assert task(fake, 11, 2, ENDS="75").returncode == 75
    assert task(fake, 11, 2, ENDS="75").returncode == 75
    last = task(fake, 11, 2, ENDS="75")
    assert last.returncode == 1
    assert "error: random, seed 1: two requeues without a new step. A stage or an evaluation" in last.stderr
    assert (fake / "asked").read_text() == 3 * "requeue 11_2\n"


def test_the_wrap_of_jobs_is_applied_to_each_run_and_the_table(fake, out):
    submit(*planned(out, SLURM + 'wrap = "env IMAGE=a.sif"\n'), out=out, device="cpu")
    assert f" env IMAGE=a.sif perceptinit run {frozen(out)} --device cpu --arm" in task(fake, 11, 0).stdout
    assert "\nenv IMAGE=a.sif perceptinit compare " in (fake / "script12").read_text()


def test_a_wrap_that_is_not_a_shell_command_is_a_problem_of_the_recipe(out):
    with pytest.raises(RecipeError, match="wrap: not a shell command"):
        cells(out, '[jobs]\nwrap = "env \'a"\n')


def test_printed_commands_reproduce_a_local_run_after_the_recipe_is_edited(cli, tmp_path, out):
    text = RECIPE.partition("[[track]]")[0] + ARMS + '[jobs]\nwrap = "nice -n 1"\n'
    file = tmp_path / "tiny.toml"
    file.write_text(text)
    options = ["tiny.toml", "--device", "cpu", "--seed", "1"]
    alone = cli("run", *options, "--out", "alone")
    printed = cli("run", *options, "--submit", "commands")
    file.write_text(text.replace("epochs = 2", "epochs = 3"))
    assert printed.returncode == 0, printed.stderr
    lines = printed.stdout.splitlines()
    assert len(lines) == 2
    for line in lines:
        nice, _, _, perceptinit, *words = shlex.split(line)
        assert (nice, perceptinit) == ("nice", "perceptinit")
        assert cli(*words).returncode == 0
    tables = [cli("compare", f"{folder}/tiny").stdout for folder in ("alone", "runs")]
    assert alone.returncode == 0
    assert tables[0] == tables[1]
    assert "pi" in tables[0]
    file.write_text(text)
    again = cli("run", *options, "--submit", "commands")
    assert (again.stdout, again.returncode) == ("", 0)
    assert "runs/tiny: all runs are finished or running" in again.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["tiny.toml", "--submit", "commands", "--jobs", "2"], "--submit does not support --jobs"),
        (["tiny.toml", "--submit", "slurm", "--jobs", "2"], "--submit does not support --jobs"),
        (["tiny.toml", "--submit", "commands", "--fresh"], "--submit commands does not support --fresh"),
        (["recipe-1.json", "--set", "a=1"], "recipe-1.json does not support --set. The recipe is frozen: use its TOML file"),
        (["recipe-1.json", "--until-decided"], "recipe-1.json does not support --until-decided"),
        (["recipe-1.json"], "recipe-1.json: cannot be read (No such file or directory)"),
    ],
)  # fmt: skip
def test_incompatible_options_are_reported(cli, tmp_path, out, words, sentence):
    (tmp_path / "tiny.toml").write_text(RECIPE.partition("[[track]]")[0])
    done = cli("run", *words)
    assert done.returncode == 2
    assert sentence in done.stderr


def test_fresh_restarts_a_run_once_and_not_at_every_requeue(fake, out):
    write_finished(out, "random", 0)
    assert sent(out, fresh=True).num_runs == 4
    assert task(fake, 11, 0).stdout.endswith("--seed 0 --fresh\n")
    assert task(fake, 11, 0, SLURM_RESTART_COUNT="1").stdout.endswith("--seed 0\n")
    (fake / "queue").write_text("11_0|RUNNING|n1\n")
    with pytest.raises(UsageError, match=r"in the queue\. Cancel them with scancel before --fresh"):
        sent(out, fresh=True)


def test_a_failed_setup_line_ends_the_task_before_the_run(fake, out):
    submit(*planned(out, SLURM + 'setup = ["false"]\n'), out=out)
    shown = task(fake, 11, 0)
    assert (shown.returncode, shown.stdout) == (1, "")


def test_the_dependent_job_writes_the_table(fake, out):
    done = sent(out)
    write(out, [record("random", 0, 0.25), record("pi", 0, [score(0.5)])])
    (out / "tiny").rename(out / "other")
    (out / "made").rename(out / "tiny")
    assert task(fake, 12, 0).returncode == 0
    assert "top1/x" in done.table.read_text()


@pytest.mark.parametrize(
    ("slurm", "sentence"),
    [
        ("", "tiny.toml: \\[jobs\\] partition: required. Choose one of short, long"),
        ('[jobs]\npartition = "gpu"\n', "the cluster has no 'gpu'. Choose one of short, long"),
    ],
    ids=["none", "unknown"],
)
def test_a_missing_or_unknown_partition_is_refused(fake, out, slurm, sentence):
    with pytest.raises(UsageError, match=sentence):
        submit(*planned(out, slurm), out=out)
    assert not list(fake.iterdir())
    assert not out.exists()


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('time = "soon"', 'time = "soon": expected minutes, "hours:minutes:seconds" or "days-hours"'),
        ('time = "0:04:59"', "expected at least 5 minutes (180 s for saving)"),
        ("gpus = -1", "jobs.gpus: "),
        ("nodes = 0", "jobs.nodes: "),
        ('options = ["long"]', 'options: "long" is not an option of sbatch'),
        ('partitoin = "x"', "jobs.partitoin: unknown key; did you mean 'partition'"),
    ],
    ids=lambda value: value.split(" ")[0],
)  # fmt: skip
def test_invalid_slurm_settings_are_problems_of_the_recipe(out, line, sentence):
    with pytest.raises(RecipeError) as error:
        cells(out, f"[jobs]\n{line}\n")
    assert sentence in str(error.value)


@pytest.mark.parametrize("time", ["5", "05:30", "0:05:00", "1-0", "0-1:30", "2-12:00:00"])
def test_time_limits_use_the_formats_of_sbatch(time):
    assert JobsConfig(time=time).time == time


def test_slurm_settings_do_not_change_fingerprints(out):
    one, other = cells(out, "")[0], cells(out)[0]
    assert one.recipe.fingerprint(one.arm) == other.recipe.fingerprint(other.arm)


def test_run_on_slurm_without_slurm_is_refused(cli, tmp_path, out):
    (tmp_path / "tiny.toml").write_text(RECIPE.partition("[[track]]")[0] + SLURM)
    done = cli("run", "tiny.toml", "--submit", "slurm", PATH="/nowhere")
    assert done.returncode == 2
    assert done.stderr == "error: `scontrol` not found. This machine is not part of a Slurm cluster\n"
    assert not (tmp_path / "runs").exists()


def shown(place):
    """Return the lines of `perceptinit status`."""
    from rich.console import Console

    console = Console(width=200, markup=False)
    with console.capture() as captured:
        for experiment in load_experiments([place]):
            console.print(status_table(experiment, in_queue))
    return [" ".join(line.split()) for line in captured.get().splitlines()]


def test_status_prints_the_queue_state_of_each_run(fake, out):
    sent(out)
    write_finished(out, "random", 0)
    (fake / "queue").write_text("11_1|PENDING|(Resources)\n11_2|RUNNING|n7\n99_3|RUNNING|n8\n")
    lines = shown(out / "tiny")
    assert "random 0 finished 60 s; 100 samples; top1/x 50.0" in lines
    assert "pi 0 not started job 11_1 pending (Resources)" in lines
    assert "random 1 not started job 11_2 running on n7" in lines
    assert f"pi 1 not started job 11_3 ended, log: {out}/tiny/.slurm/11_3.log" in lines


def test_status_prints_jobs_before_any_run_starts_and_without_slurm(fake, out, monkeypatch):
    sent(out)
    monkeypatch.setenv("PATH", "/nowhere")
    lines = shown(out / "tiny")
    assert (
        "pi 1 not started job 11_3 (`squeue` not found. This machine is not part of a Slurm cluster)" in lines
    )
    assert lines[-1] == "4 runs: 4 not started"


def test_nproc_with_slurm_is_refused_in_favor_of_the_recipe(tmp_path):
    plugins = build_plugin_manager()
    words = ["run", str(tmp_path / "tiny.toml"), "--submit", "slurm", "--nproc", "2"]
    with pytest.raises(UsageError, match=r"Set \[jobs\] nodes and gpus"):
        create_app(plugins)(words, obj=plugins, standalone_mode=False)


def test_a_finished_recipe_submits_no_job(fake, out):
    for cell in cells(out):
        write_finished(out, cell.arm.name, cell.seed)
    done = sent(out)
    assert (done.jobs, done.num_finished) == ((), 4)
    assert not list(fake.iterdir())
