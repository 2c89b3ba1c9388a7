"""Parallel runs on one machine: worker processes that send their events to one console.

The parent starts `python -m perceptinit.running.workers` several times. Each worker reads the recipes from
standard input, locks runs like any other process that shares the folder, and writes its events as JSON lines
to the pipe that was its standard output. From then on, descriptor 1 is standard error, also for libraries in
C. The parent shows the events, and other lines as text.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import IO, TYPE_CHECKING, Any

from perceptinit.components.light_imports import import_lightly
from perceptinit.compute.devices import usable_cores
from perceptinit.errors import PerceptInitError, describe_error
from perceptinit.protocols import HasExpect, HasSay, Tracker
from perceptinit.running.frozen import describe_cells, restore_cells
from perceptinit.running.interruption import INTERRUPT_EXIT_CODE, OF_CTRL_C, StopSignals
from perceptinit.running.torchrun import import_path
from perceptinit.running.tracking import build_console
from perceptinit.types import Event, RunContext, Score

if TYPE_CHECKING:
    from perceptinit.running.sweep import Sweep


def run_in_workers(sweep: Sweep, jobs: int, num_workers: int | None = None) -> list[dict[str, Any]]:
    """Execute the runs of a sweep in at most `jobs` processes and return their records.

    Args:
        sweep: The runs.
        jobs: Number of processes.
        num_workers: Threads of each process that decode images; by default its share of the cores.

    Raises:
        PerceptInitError: If any run did not finish. Raised after all workers have ended; lists the reasons.
    """
    console = build_console(sweep.recipe)
    if isinstance(console, HasExpect):
        console.expect([(c.arm.name, c.seed) for c in sweep.cells])
    share = max(1, usable_cores() // jobs) if num_workers is None else num_workers
    job = json.dumps(
        describe_cells(sweep.cells)
        | {
            "device": sweep.device,
            "fresh": sweep.fresh,
            "earlier": sweep.earlier,
            "num_workers": share,
        }
    )
    workers = [
        _Worker(job, _environment(i, jobs, sweep.device), console) for i in range(min(jobs, len(sweep.cells)))
    ]
    try:
        with StopSignals().listen():
            for worker in workers:
                worker.wait()
    except BaseException as error:  # Ctrl-C or a signal: every worker saves its state and ends
        for worker in workers:
            number = OF_CTRL_C if isinstance(error, KeyboardInterrupt) else signal.SIGTERM
            worker.process.send_signal(number)  # has no effect on a process that ended
        for worker in workers:
            worker.wait()
        raise
    finally:
        if console is not None:
            console.close()
    return _read_records(sweep)


def _environment(index: int, jobs: int, device: str) -> dict[str, str]:
    """Return a worker's environment: its share of the cores, and its GPU if there are several."""
    from perceptinit.compute.distributed import LAUNCHER

    environment = {**os.environ, "PYTHONPATH": import_path(), "PYTHONIOENCODING": "utf-8"}
    environment[LAUNCHER] = str(os.getpid())
    environment.setdefault("OMP_NUM_THREADS", str(max(1, usable_cores() // jobs)))
    if device == "cuda":
        import torch

        every = ",".join(map(str, range(torch.cuda.device_count())))
        gpus = (os.environ.get("CUDA_VISIBLE_DEVICES") or every).split(",")
        environment["CUDA_VISIBLE_DEVICES"] = gpus[index % len(gpus)]
    return environment


class _Worker:
    """A worker process, and two threads that forward its output."""

    def __init__(self, job: str, environment: Mapping[str, str], console: Tracker | None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "perceptinit.running.workers"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            env=dict(environment),
            start_new_session=True,  # the parent forwards Ctrl-C as a signal
        )
        self._threads = [
            threading.Thread(target=_show_events, args=(self.process.stdout, console)),
            threading.Thread(target=_show_lines, args=(self.process.stderr, console)),
        ]
        for thread in self._threads:
            thread.start()
        assert self.process.stdin is not None
        self.process.stdin.write(job)
        self.process.stdin.close()

    def wait(self) -> None:
        self.process.wait()
        for thread in self._threads:
            thread.join()


def _show_events(lines: IO[str], console: Tracker | None) -> None:
    for line in lines:
        try:
            row = json.loads(line)
            event = Event(**row | {"scores": tuple(Score(**score) for score in row["scores"])})
        except (ValueError, TypeError, LookupError):  # written before descriptor 1 was standard error
            _show_lines([line], console)
        else:
            if console is not None:
                console.log(event)


def _show_lines(lines: Iterable[str], console: Tracker | None) -> None:
    """Forward the standard error of a worker, such as a library's warnings."""
    for line in lines:
        if isinstance(console, HasSay):
            console.say(line.rstrip("\n"))
        else:
            sys.stderr.write(line)


def _read_records(sweep: Sweep) -> list[dict[str, Any]]:
    states = [(cell, cell.loaded) for cell in sweep.cells]
    complaints = [
        f"{cell.title}: {found.record.get('error') or 'its process ended without an error message'}"
        for cell, found in states
        if found.state != "finished"
    ]
    if complaints:
        raise PerceptInitError(
            f"{len(complaints)} of {len(sweep.cells)} runs did not finish:\n  " + "\n  ".join(complaints)
        )
    return [dict(found.record) for _, found in states]


class _Relay:
    """Console of a worker, which sends events to the parent, one JSON line each."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out

    def start(self, ctx: RunContext) -> None:
        """Do nothing: the console needs only the run-start event."""

    def log(self, event: Event) -> None:
        row = asdict(event)
        for score in row["scores"]:
            score["extra"] = {}  # arrays, which no console shows
        try:
            print(json.dumps(row), file=self._out, flush=True)
        except BrokenPipeError:  # the parent is gone: save the step and end, see `end_with_parent`
            signal.raise_signal(signal.SIGTERM)

    def close(self) -> None:
        """Do nothing: standard output is flushed at every event."""


def main() -> None:
    """Execute the job on standard input. Exit with code 1 if a run failed here."""
    from perceptinit.compute.devices import set_up_process
    from perceptinit.compute.distributed import end_with_parent
    from perceptinit.running.sweep import Sweep

    relay = _Relay(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)  # keeps the output of components and libraries out of the events
    sys.stdout = sys.stderr
    end_with_parent()
    import_lightly()
    job = json.loads(sys.stdin.read())
    cells = restore_cells(job)
    set_up_process(job["device"])
    try:
        sweep = Sweep(cells, job["device"], job["fresh"], job["earlier"], job["num_workers"], is_job=True)
        sweep.work(console=relay)
    except KeyboardInterrupt:
        sys.exit(INTERRUPT_EXIT_CODE)
    except Exception as error:  # the parent reads it from the run's record
        if not isinstance(error, PerceptInitError):
            print(describe_error(error), file=sys.stderr)  # with its traceback
        sys.exit(1)


if __name__ == "__main__":
    main()
