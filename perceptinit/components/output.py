"""Keep standard output and the process from the code of plug-ins, which may write, close it or exit."""

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import Any

from perceptinit.errors import STOPS


@contextmanager
def divert_output(stream: Any, descriptor: int) -> Iterator[None]:
    """Send standard output elsewhere during the block, and restore it, even if the block closes it.

    Args:
        stream: Receives what Python code prints.
        descriptor: Receives what compiled code and other processes write to file descriptor 1.
    """
    kept = os.dup(1) if sys.__stdout__ else os.open(os.devnull, os.O_WRONLY)  # closed by the shell
    try:
        os.dup2(descriptor, 1)
        with redirect_stdout(stream):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        if getattr(sys.stdout, "closed", False):
            sys.stdout = sys.__stdout__ = os.fdopen(1, "w", errors="replace", closefd=False)  # type: ignore[misc]


@contextmanager
def guard_process(name: str, fail: Callable[[BaseException], None]) -> Iterator[None]:
    """Run the code of a plug-in in the block: discard what it prints, and call `fail` if it raises anything.

    In the block, `os._exit` raises SystemExit. A warning names a plug-in that wrote to file descriptor 1 or
    closed standard output, or during whose code a user pressed Ctrl-C.

    Args:
        name: Name of the plug-in.
        fail: Receives the error. A stop signal or Ctrl-C is raised instead.
    """
    parent = os.getpid()
    exit_now: Callable[[int], Any] = os._exit

    def refuse(status: int) -> None:
        if os.getpid() != parent:  # a process that the plug-in forked
            exit_now(status)
        raise SystemExit(f"os._exit({status})")

    output = os.memfd_create("output") if hasattr(os, "memfd_create") else os.open(os.devnull, os.O_RDWR)
    with os.fdopen(output), divert_output(io.StringIO(), output):
        os._exit = refuse  # type: ignore[assignment]
        try:
            yield
        except STOPS:
            print(
                f"interrupted in plug-in '{name}'. To skip it, add --without-plugin {name}", file=sys.stderr
            )
            raise
        except BaseException as error:
            fail(error)
        finally:
            os._exit = exit_now  # type: ignore[assignment]
            if not _is_intact(output):
                print(f"warning: plug-in '{name}' wrote to or closed standard output", file=sys.stderr)


def _is_intact(descriptor: int) -> bool:
    """Return whether file descriptor 1 is still an open and empty copy of `descriptor`."""
    about = os.fstat(descriptor)
    with suppress(OSError):
        is_open = os.path.samestat(about, os.fstat(1)) and not getattr(sys.__stdout__, "closed", False)
        return is_open and about.st_size == 0
    return False
