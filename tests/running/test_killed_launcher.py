"""Processes of a run end with their killed launcher and lose at most one step."""

import multiprocessing
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.processes import start
from helpers.resuming import record_of, run

from perceptinit.compute import distributed
from perceptinit.errors import Stopped
from perceptinit.pretrainers.training import Training
from perceptinit.running import workers
from perceptinit.running.interruption import StopSignals
from perceptinit.types import Event

fork = multiprocessing.get_context("fork")
ROOT = Path(__file__).parents[2]


def ended_within(seconds, launch, *args):
    """Run `launch(*args)` in a process, kill it, and return whether all its child processes end in time."""
    reading, writing = os.pipe()  # closed when the last process that inherited it ends
    os.set_inheritable(writing, True)
    launcher = fork.Process(target=launch, args=args)
    launcher.start()
    os.close(writing)
    launcher.join()
    assert launcher.exitcode == -signal.SIGKILL
    is_closed, _, _ = select.select([reading], [], [], seconds)
    os.close(reading)
    return bool(is_closed)


def launch_one_of_two():
    """Start a process that waits in the rendezvous for a second process, which never starts."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    names = {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": 2, "MASTER_PORT": port}
    os.environ.update({k: str(v) for k, v in names.items()}, MASTER_ADDR="localhost")

    def wait():
        with distributed.process_group():
            raise AssertionError("no second process was started")

    fork.Process(target=wait).start()
    time.sleep(1.0)
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_in_the_rendezvous_ends_when_its_launcher_is_killed():
    assert ended_within(20, launch_one_of_two)


def launch_run(folder):
    step = Training.step

    def step_and_wait(self, batch):
        if self.num_steps + 1 == 3:
            if os.environ["RANK"] == "0":
                os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(3 * distributed.POLL_SECONDS)
        return step(self, batch)

    Training.step = step_and_wait
    start(run, folder)
    signal.pause()


def test_processes_of_a_killed_launcher_save_their_step_and_the_run_can_resume(tmp_path):
    assert ended_within(60, launch_run, tmp_path)
    assert "stopped by SIGTERM after step 3, saved" in record_of(tmp_path)["error"]
    assert run(tmp_path)["status"] == "finished"


def test_a_process_that_ignores_the_signal_is_killed():
    def launch():
        def deaf():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            distributed.GRACE_SECONDS = 0.1
            distributed.end_with_parent()
            time.sleep(600)

        fork.Process(target=deaf).start()
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGKILL)

    assert ended_within(20, launch)


def test_a_launcher_that_ended_before_the_check_is_detected():
    gone = fork.Process(target=int)
    gone.start()
    gone.join()
    code = "import time; from perceptinit.compute.distributed import end_with_parent; end_with_parent(); time.sleep(600)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), distributed.LAUNCHER: str(gone.pid)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=False, timeout=60)
    assert done.returncode == -signal.SIGTERM


def test_workers_share_the_cores(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(workers, "usable_cores", lambda: 8)
    threads = [workers._environment(0, jobs, "cpu")["OMP_NUM_THREADS"] for jobs in (1, 2, 3, 8, 20)]
    assert threads == ["8", "4", "2", "1", "1"]


def test_a_worker_of_jobs_ends_when_its_parent_is_killed():
    description, never_written = os.pipe()

    def launch():
        command = [sys.executable, "-P", "-m", "perceptinit.running.workers"]
        environment = workers._environment(0, 1, "cpu")
        subprocess.Popen(command, stdin=description, env=environment, close_fds=False)
        os.kill(os.getpid(), signal.SIGKILL)

    assert ended_within(60, launch)
    os.close(description)
    os.close(never_written)


def test_a_worker_with_a_closed_event_pipe_saves_its_step():
    reading, writing = os.pipe()
    os.close(reading)
    with StopSignals().listen(), pytest.raises(Stopped, match="stopped by SIGTERM"):
        workers._Relay(os.fdopen(os.dup(writing), "w")).log(
            Event(kind="step", arm="pi", seed=0, stage="init")
        )
    os.close(writing)
