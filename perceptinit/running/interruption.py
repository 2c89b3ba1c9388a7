"""Being asked to stop: SIGTERM and SIGUSR1, as Slurm, Kubernetes and torchrun send them before they kill.

A process that has workers sends them SIGUSR2 after Ctrl-C, which does not reach them itself.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

OF_CTRL_C = signal.SIGUSR2
# what is said of each
SIGNALS = {
    signal.SIGTERM: "stopped by SIGTERM",
    signal.SIGUSR1: "stopped by SIGUSR1",
    OF_CTRL_C: "interrupted by Ctrl-C",
}
CONTINUES = "the same command continues"
# EX_TEMPFAIL of sysexits.h: nothing is wrong, the same command goes on later
EXIT_CODE = 75
INTERRUPT_EXIT_CODE = 130  # as shells give it to what SIGINT ended
INTERRUPTED = f"{SIGNALS[OF_CTRL_C]}; {CONTINUES}"


class Stopped(SystemExit):
    """The run was asked to stop and its state is on disk; the process ends with exit code 75.

    Not an Exception, so nothing takes it for the failure of a single run.
    """

    def __init__(self, message: str) -> None:
        super().__init__(EXIT_CODE)
        self.message = message

    def __str__(self) -> str:
        return self.message


class StopSignals:
    """Listens for the signals: at once Stopped, or, where work is to be saved first, a note of it.

    asked: what is said of the signal that came while `noted`, empty before.
    """

    def __init__(self) -> None:
        self.asked = ""
        self._is_noted = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle the signals for the block; in a thread other than the main one they are left alone."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def noted(self, at_once: bool = True) -> Iterator[None]:
        """Only note signals during the block, which is to act on them; what came too late for it acts after it.

        at_once: false where the block begins to do so with its first call of `note`.
        """
        self._is_noted = at_once
        try:
            yield
        finally:
            self._is_noted = False
        if self.asked:
            raise Stopped(f"{self.asked}; {CONTINUES}")

    def note(self) -> None:
        """Only note signals from now on, inside a block of `noted`."""
        self._is_noted = True

    def _handle(self, number: int, frame: FrameType | None) -> None:
        asked = SIGNALS[signal.Signals(number)]
        if not self._is_noted:
            raise Stopped(f"{asked}; {CONTINUES}")
        self.asked = asked
