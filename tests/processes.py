"""Several processes of one run, forked from the test so that nothing is imported twice."""

import multiprocessing
import os
import queue
import socket
import traceback


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
    """Return what `function(*args)` gives in each of `num` processes; raises what one raised.

    Another program can take the port between its choice and its use, and a fork of a process with
    threads can find a lock held for ever. Both show as silence, so silence is tried once more.
    """
    processes = start(function, *args, num=num)
    try:
        return _answers(processes, timeout=90)
    except queue.Empty:
        for process in processes:
            process.kill()
        return _answers(start(function, *args, num=num), timeout=240)


def _answers(processes, timeout):
    outcomes = [process.outcome.get(timeout=timeout) for process in processes]
    for process in processes:
        process.join(30)
    for is_fine, value in outcomes:
        if not is_fine:
            raise AssertionError(value)
    return [value for _, value in outcomes]


def _work(rank, num, port, outcome, function, args):
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": num, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in names.items()}, MASTER_ADDR="localhost")
    try:
        outcome.put((True, function(*args)))
    except BaseException as error:
        outcome.put((False, f"{type(error).__name__}: {error}\n{traceback.format_exc()}"))
        raise
