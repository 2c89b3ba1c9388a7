"""Handle SIGTERM and SIGUSR1, which Slurm, Kubernetes and torchrun send before they kill a process.

After Ctrl-C, which does not reach worker processes, their parent sends them SIGUSR2.
"""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from perceptinit.errors import Stopped

OF_CTRL_C = signal.SIGUSR2
# messages
SIGNALS = {
    signal.SIGTERM: "stopped by SIGTERM",
    signal.SIGUSR1: "stopped by SIGUSR1",
    OF_CTRL_C: "interrupted by Ctrl-C",
}
CONTINUES = "rerun the command to resume"
INTERRUPT_EXIT_CODE = 130  # as in shells, after SIGINT
INTERRUPTED = f"{SIGNALS[OF_CTRL_C]}; {CONTINUES}"


class StopSignals:
    """Handler of stop signals: raises Stopped immediately, or only records the signal in a `defer` block.

    Attributes:
        asked: Message about the received signal; empty if there was none.
    """

    def __init__(self) -> None:
        self.asked = ""
        self._is_deferred = False

    @contextmanager
    def listen(self) -> Iterator[None]:
        """Handle the signals in the block. Has no effect outside the main thread."""
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
    def defer(self, at_once: bool = True) -> Iterator[None]:
        """Only record signals in the block. If one was received, raise Stopped at the end of the block.

        Args:
            at_once: Defer signals from the start of the block, not from the first call of `defer_now`.
        """
        self._is_deferred = at_once
        try:
            yield
        finally:
            self._is_deferred = False
        if self.asked:
            raise Stopped(f"{self.asked}; {CONTINUES}")

    def defer_now(self) -> None:
        """Defer signals from now until the end of the `defer` block."""
        self._is_deferred = True

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.asked = SIGNALS[signal.Signals(number)]
        if not self._is_deferred:
            raise Stopped(f"{self.asked}; {CONTINUES}")


@contextmanager
def exit_when_stopped() -> Iterator[None]:
    """Exit with code 75 on a stop signal, and print a message unless a run has printed one.

    The process must exit after the block. Signals during its shutdown do not change its exit code.
    """
    signals = StopSignals()
    try:
        with signals.listen():
            yield
    except Stopped as stop:
        if signals.asked:  # a run prints its own message
            print(stop, file=sys.stderr)
        raise
    finally:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)  # Python restores other handlers before it ends
