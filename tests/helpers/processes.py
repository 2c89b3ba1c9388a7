"""Several processes of one run, forked from the test so that nothing is imported twice."""

import multiprocessing
import os
import socket
import traceback
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch.testing._internal.distributed.fake_pg import FakeStore

from perceptinit.compute import distributed


def start(function, *args, num=2):
    """Start `function(*args)` in `num` processes that torchrun might have started; returns them.

    Each puts what the function returns, or the text of its error, into `process.outcome`.
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
    """Return what `function(*args)` gives in each of `num` processes; raises what one raised."""
    processes = start(function, *args, num=num)
    outcomes = [process.outcome.get(timeout=240) for process in processes]
    for process in processes:
        process.join(30)
    for is_fine, value in outcomes:
        if not is_fine:
            raise AssertionError(value)
    return [value for _, value in outcomes]


def _work(rank, num, port, outcome, function, args):
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": num, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in names.items()}, MASTER_ADDR="localhost")
    # torch replaces its thread pool at the first use after a fork, and two threads at once may see none:
    # "Invalid thread pool!"
    torch.set_num_threads(torch.get_num_threads())
    try:
        # around the function, whose models are gone when it returns: see `process_group`
        with distributed.process_group():
            answer = function(*args)
        outcome.put((True, answer))
    except BaseException as error:
        outcome.put((False, f"{type(error).__name__}: {error}\n{traceback.format_exc()}"))
        raise


@contextmanager
def fake_group(world):
    """Stand in for the first of many processes; what others would send is not there."""
    dist.init_process_group("fake", rank=0, world_size=world, store=FakeStore())
    try:
        yield
    finally:
        dist.destroy_process_group()


@contextmanager
def group_of_one():
    """Be a group of one process, whose exchanges are real."""
    dist.init_process_group("gloo", rank=0, world_size=1, store=dist.HashStore())
    try:
        yield
    finally:
        dist.destroy_process_group()
