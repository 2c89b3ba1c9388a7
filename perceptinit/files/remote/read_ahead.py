"""Fetch pieces before they are needed, in the order in which they will be: the order of a run is known beforehand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from threading import Condition, Thread
from typing import Generic, TypeVar

from perceptinit.files.remote.shard_cache import Piece, ShardCache
from perceptinit.files.remote.store import RemoteError

H = TypeVar("H")

NUM_FETCHERS = 4
# how often those who wait look for what other processes did to the cache
_LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Use:
    """Draws, counted over the whole run, between which a piece is needed: `first` up to `last`."""

    piece: Piece
    first: int
    last: int


class ReadAhead(Generic[H]):
    """Pieces opened before they are needed, for all threads of one loader.

    uses: what will be needed, in the order of `first`; taken as far ahead as the cache can hold.
    open_: called with a piece and its file, in the thread that fetched it; what it gives is handed out, also
    while another process makes room of the file. An error of it is raised where the piece is asked for.
    """

    def __init__(
        self, cache: ShardCache, uses: Iterable[Use], open_: Callable[[Piece, Path], H]
    ) -> None:
        self._cache, self._open = cache, open_
        self._uses = iter(uses)
        self._planned: list[Use] = []
        self._num_fitting = 0
        self._next_use: dict[Piece, Use] = {}
        self._opened: dict[Use, H] = {}
        self._failed: dict[Use, BaseException] = {}
        self._busy: set[Use] = set()
        self._without_room: set[Use] = set()
        self._done, self._needed = 0, 0
        self._is_over = False
        self._moved = Condition()

    @contextmanager
    def running(self) -> Iterator[Callable[[int, int], None]]:
        """Fetch in threads during the block; gives `reached`."""
        with self._cache.reader():
            self._plan()
            for number in range(NUM_FETCHERS):
                Thread(target=self._work, name=f"read-ahead-{number}", daemon=True).start()
            try:
                yield self.reached
            finally:
                with self._moved:
                    self._is_over = True
                    self._moved.notify_all()

    def reached(self, done: int, needed: int) -> None:
        """Take note that all draws before `done` are done, and that those before `needed` are now waited for."""
        with self._moved:
            self._done, self._needed = done, needed
            self._without_room.clear()
            self._failed.clear()  # what failed far ahead may come now
            self._plan()
            self._moved.notify_all()

    def get(self, piece: Piece) -> H | None:
        """Return what a piece was opened as, waited for; None when it is not planned, or there is no room for it.

        Raises what fetching or opening it raised.
        """
        with self._moved:
            while (use := self._next_use.get(piece)) is not None:
                if self._is_over:  # who still asks works for nobody
                    raise RemoteError(f"{piece.file}: nothing is fetched any more")
                if use in self._opened:
                    return self._opened[use]
                if use in self._failed:
                    raise self._failed[use]
                if use.first < self._needed and self._has_no_room(use):
                    return None
                self._moved.wait(_LOOK_SECONDS)
            return None

    def _plan(self) -> None:
        """Forget what is done, look ahead as far as the cache reaches, and tell other processes."""
        self._planned = [use for use in self._planned if use.last >= self._done]
        room = sum(use.piece.room for use in self._planned)
        while room < self._cache.max_bytes and (use := next(self._uses, None)):
            if use.last >= self._done:
                self._planned.append(use)
                room += use.piece.room
        # those behind would take the room of what is needed before them
        rooms = accumulate(use.piece.room for use in self._planned)
        self._num_fitting = sum(room <= self._cache.max_bytes for room in rooms)
        # of two uses of a piece the first one counts
        self._next_use = {use.piece: use for use in reversed(self._planned)}
        current = set(self._planned)
        self._opened = {use: opened for use, opened in self._opened.items() if use in current}
        self._cache.publish(
            self._done, {use.piece.key: use.first for use in self._next_use.values()}
        )

    def _has_no_room(self, use: Use) -> bool:
        return use in self._without_room or use in self._planned[self._num_fitting :]

    def _work(self) -> None:
        while (use := self._take()) is not None:
            opened: H | None = None
            done = self._done
            try:
                path = self._cache.fetch(use.piece, max(0, use.first - done))
                opened = None if path is None else self._open(use.piece, path)
            except BaseException as error:
                self._failed[use] = error
            with self._moved:
                self._busy.discard(use)
                if opened is not None and use.last >= self._done:
                    self._opened[use] = opened
                elif (
                    use not in self._failed and done == self._done
                ):  # else room may be there by now
                    self._without_room.add(use)
                self._moved.notify_all()

    def _take(self) -> Use | None:
        """Return the next use to fetch, waited for; None when all is over."""
        with self._moved:
            while not self._is_over:
                for use in self._planned[: self._num_fitting]:
                    known = (self._opened, self._failed, self._busy, self._without_room)
                    if not any(use in those for those in known):
                        self._busy.add(use)
                        return use
                if not self._moved.wait(_LOOK_SECONDS * 5):
                    self._without_room.clear()  # another process may have moved on
            return None
