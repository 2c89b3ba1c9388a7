"""Processes that share each run. `run --nproc N` executes the command in N processes on each machine."""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from perceptinit.errors import EXIT_CODE
from perceptinit.running.interruption import CONTINUES

# torchrun's variable for the rendezvous of several machines
ENDPOINT = "PET_RDZV_ENDPOINT"


def is_launcher(num_processes: int) -> bool:
    """Return whether this process must launch the processes that share a run, on one machine or several."""
    return "RANK" not in os.environ and (num_processes > 1 or ENDPOINT in os.environ)


def import_path() -> str:
    """Return `PYTHONPATH` for a child process: the folder of this package, then the user's folders."""
    return os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")]))


def run_in_processes(num_processes: int, arguments: Sequence[str]) -> None:
    """Run `perceptinit ARGUMENTS` in processes that share each run. If one dies, the others end.

    The processes ignore `--nproc`, because `is_launcher` returns False in them.

    Raises:
        SystemExit: With the exit code of the processes if it is not 0. The processes print the reason.
        KeyboardInterrupt: After Ctrl-C.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    from perceptinit.compute.distributed import LAUNCHER

    # torchrun forwards SIGTERM to the processes, but dies from SIGUSR1
    signal.signal(signal.SIGUSR1, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    # processes must not import modules from the working folder
    os.environ |= {LAUNCHER: str(os.getpid()), "PYTHONSAFEPATH": "1", "PYTHONPATH": import_path()}
    meeting = [] if ENDPOINT in os.environ else ["--standalone"]
    # options after -- are those of perceptinit
    options = [*meeting, f"--nproc-per-node={num_processes}", "--module", "--", "perceptinit"]
    try:
        run(parse_args([*options, *arguments]))
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode >= 0:
            raise SystemExit(failure.exitcode) from None
        name = signal.Signals(-failure.exitcode).name
        message = f"process {rank} was killed by {name}, so the others were stopped; {CONTINUES}"
        print(f"error: {message}", file=sys.stderr)
        raise SystemExit(1) from None
    except SignalException as stop:
        if stop.sigval == signal.SIGINT:
            raise KeyboardInterrupt from None
        raise SystemExit(EXIT_CODE) from None
