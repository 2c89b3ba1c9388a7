"""Several processes of one run, forked from the test to avoid repeated imports."""

import faulthandler
import multiprocessing
import os
import queue
import signal
import socket
import sys
import traceback
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch.testing._internal.distributed.fake_pg import FakeStore

from perceptinit.compute import distributed


def start(function, *args, num=2):
    """Start `function(*args)` in `num` processes with the environment of torchrun; returns the processes.

    Each process stores the result or the text of the error in `process.outcome`.
    """
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("fork")
    processes = []
    for rank in range(num):
        outcome = context.Queue()
        process = context.Process(target=_work, args=(rank, num, port, outcome, function, args))
        process.outcome = outcome
        process.start()
        processes.append(process)
    return processes


def together(function, *args, num=2):
    """Return the results of `function(*args)` in `num` processes; raises the exception of a failed process."""
    processes = start(function, *args, num=num)
    outcomes = [_wait(process) for process in processes]
    for process in processes:
        process.join(30)
    for is_fine, value in outcomes:
        if not is_fine:
            raise AssertionError(value)
    return [value for _, value in outcomes]


def _wait(process):
    """Return the outcome of a process. One that ends or hangs without an outcome prints where its threads are."""
    try:
        return process.outcome.get(timeout=240)
    except queue.Empty:
        if process.is_alive():
            os.kill(process.pid, signal.SIGQUIT)
            process.join(5)
        return False, f"no result of {process.name} in 240 s, exit code {process.exitcode}: see stderr"


def _work(rank, num, port, outcome, function, args):
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": num, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in names.items()}, MASTER_ADDR="localhost")
    # torch replaces its thread pool at the first use after a fork, which is not thread-safe:
    # "Invalid thread pool!"
    torch.set_num_threads(torch.get_num_threads())
    faulthandler.register(signal.SIGQUIT, sys.__stderr__)
    try:
        # outside of the function, whose models are freed when it returns: see `process_group`
        with distributed.process_group():
            answer = function(*args)
        outcome.put((True, answer))
    except BaseException as error:
        outcome.put((False, f"{type(error).__name__}: {error}\n{traceback.format_exc()}"))
        raise


@contextmanager
def fake_group(world):
    """Act as the first of several processes, without data from the others."""
    dist.init_process_group("fake", rank=0, world_size=world, store=FakeStore())
    try:
        yield
    finally:
        dist.destroy_process_group()


@contextmanager
def group_of_one():
    """Run in a process group of one process."""
    dist.init_process_group("gloo", rank=0, world_size=1, store=dist.HashStore())
    try:
        yield
    finally:
        dist.destroy_process_group()
