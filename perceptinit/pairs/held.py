"""Blocks of pairs in memory, shared by threads."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class HeldBlocks(Generic[T]):
    """A least recently used cache of at most `capacity` blocks, which `read(number)` returns."""

    def __init__(self, read: Callable[[int], T], capacity: int) -> None:
        self._read, self._capacity = read, capacity
        self._held: OrderedDict[int, Future[T]] = OrderedDict()
        self._lock = Lock()

    def __getitem__(self, number: int) -> T:
        """Return a block, read once. A failed read raises in all waiting threads and is not kept."""
        with self._lock:
            waiting = self._held.get(number)
            future = self._held.setdefault(number, waiting or Future())
            self._held.move_to_end(number)
            while len(self._held) > self._capacity:
                self._held.popitem(last=False)
        if waiting is not None:  # another thread reads it, or has read it
            return waiting.result()
        try:
            future.set_result(self._read(number))
        except BaseException as error:
            future.set_exception(error)
            with self._lock:
                self._held.pop(number, None)
        return future.result()
