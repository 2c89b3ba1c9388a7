"""`perceptinit run --nproc N`: the same command in N processes on each machine, through torchrun."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

from perceptinit.compute.parent import LAUNCHER
from perceptinit.errors import PerceptInitError
from perceptinit.running.interruption import EXIT_CODE

# where torchrun reads its option from: processes of several machines meet there
ENDPOINT = "PET_RDZV_ENDPOINT"


def is_launcher(num_processes: int) -> bool:
    """Say whether this process is to start those that do the work: it has several, or its like on other machines."""
    return "RANK" not in os.environ and (num_processes > 1 or ENDPOINT in os.environ)


def run_in_processes(num_processes: int, arguments: Sequence[str]) -> None:
    """Run `perceptinit ARGUMENTS` in processes that work on each run together.

    Raises SystemExit with the exit code of the processes when it is not 0, their own messages have
    told why, and KeyboardInterrupt after Ctrl-C. A process that dies ends the others.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    # torchrun hands SIGTERM on to the processes, but of itself would die of SIGUSR1
    signal.signal(signal.SIGUSR1, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    os.environ[LAUNCHER] = str(os.getpid())
    meeting = [] if ENDPOINT in os.environ else ["--standalone"]
    options = [*meeting, f"--nproc-per-node={num_processes}", "--module", "perceptinit"]
    try:
        run(parse_args([*options, *arguments]))
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode >= 0:
            raise SystemExit(failure.exitcode) from None
        name = signal.Signals(-failure.exitcode).name
        message = f"process {rank} was ended by {name}, so the others were stopped"
        print(f"error: {PerceptInitError(message)}; the same command continues", file=sys.stderr)
        raise SystemExit(1) from None
    except SignalException as stop:
        if stop.sigval == signal.SIGINT:
            raise KeyboardInterrupt from None
        raise SystemExit(EXIT_CODE) from None


def drop_nproc(arguments: Sequence[str]) -> list[str]:
    """Return command line arguments less `--nproc N` or `--nproc=N`."""
    kept, skip = [], False
    for argument in arguments:
        if not skip and argument != "--nproc" and not argument.startswith("--nproc="):
            kept.append(argument)
        skip = argument == "--nproc"
    return kept
