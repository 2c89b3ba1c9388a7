"""A process that its launcher started ends with it, also when the launcher is killed (-9)."""

from __future__ import annotations

import os
import signal
import threading
import time

# where a launcher of ours leaves its process id: it may die before we begin to look
LAUNCHER = "PERCEPTINIT_LAUNCHER"
POLL_SECONDS = 0.5
# to finish a step and save it, after that the process ends as it is
GRACE_SECONDS = 60.0


def end_with_parent() -> None:
    """Watch the parent of this process from a thread: when it is gone, be stopped as by SIGTERM, then killed.

    A process that waits inside a library, such as for others that never come, does not hear SIGTERM.
    """
    launcher = os.environ.get(LAUNCHER)
    parent = int(launcher) if launcher else os.getppid()
    threading.Thread(target=_watch, args=(parent,), daemon=True, name="parent").start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)
