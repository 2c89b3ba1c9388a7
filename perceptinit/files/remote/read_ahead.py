"""Fetch pieces before they are needed: the order of a run is known beforehand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Generic, TypeVar

from perceptinit.errors import RemoteError
from perceptinit.files.remote.fetched import FetchedCache, Held, Piece
from perceptinit.protocols import BlockUse, Reached

H = TypeVar("H")
NUM_FETCHERS = 4
# batches after the current one that a loader makes at the same time
_BATCHES_BEGUN = 3


@dataclass(frozen=True, slots=True)
class _Use:
    """Draws, counted over the whole run, between which a piece is needed: `first` up to `last`."""

    piece: Piece
    first: int
    last: int


class ReadAhead(Generic[H]):
    """Pieces opened before they are needed, for all threads of one loader.

    Pieces are held in the cache until their last use. Those that are fetched ahead take at most half of it, so that
    other processes find room.

    Args:
        cache: Where pieces are.
        max_bytes: Most that they may take together.
        uses: What will be needed, in the order of `first`.
        open_: Called with a piece and its file, in the thread that fetched it; its result is handed out.
    """

    def __init__(
        self,
        cache: FetchedCache,
        max_bytes: int,
        uses: Iterable[_Use],
        open_: Callable[[Piece, Path], H],
    ) -> None:
        self._cache, self._max_bytes, self._uses, self._open = cache, max_bytes, iter(uses), open_
        self._next = next(self._uses, None)
        self._planned: dict[_Use, Future[tuple[H, Held] | None]] = {}
        self._by_piece: dict[Piece, Future[tuple[H, Held] | None]] = {}
        self._queue: SimpleQueue[_Use | None] = SimpleQueue()

    @contextmanager
    def running(self) -> Iterator[Reached]:
        """Fetch in threads during the block; gives `reached`."""
        for number in range(NUM_FETCHERS):
            Thread(target=self._work, name=f"read-ahead-{number}", daemon=True).start()
        try:
            yield self.reached
        finally:
            planned, self._planned = self._planned, {}
            for future in planned.values():
                _release(future)
                with suppress(InvalidStateError):
                    future.set_exception(RemoteError("nothing is fetched after a loader has ended"))
            for _ in range(NUM_FETCHERS):
                self._queue.put(None)

    def reached(self, done: int, needed: int) -> None:
        """Release what only draws before `done` needed, and fetch ahead; those before `needed` are waited for now."""
        for use in [use for use in self._planned if use.last < done]:
            _release(self._planned.pop(use))
        for use, future in list(self._planned.items()):
            if future.done() and (future.exception() or not future.result()):
                self._plan(use)  # what failed, or had no room, may succeed now
        self._extend(done, begun=needed + _BATCHES_BEGUN * (needed - done))
        # of several uses of a piece the first one counts
        self._by_piece = {use.piece: self._planned[use] for use in reversed(self._planned)}

    def get(self, piece: Piece) -> H | None:
        """Return what a piece was opened as, waited for; None if it is not planned, or there is no room for it.

        Raises what fetching or opening it raised.
        """
        future = self._by_piece.get(piece)
        opened = future.result() if future else None
        return opened[0] if opened else None

    def _extend(self, done: int, begun: int) -> None:
        """Plan what is used before `begun`, and then as much as may be fetched ahead."""
        room = sum(use.piece.room for use in self._planned)
        ahead = sum(use.piece.room for use in self._planned if use.first >= begun)
        while (use := self._next) is not None:
            size = use.piece.room
            is_too_far = use.first >= begun and ahead and ahead + size > self._max_bytes // 2
            if is_too_far or room + size > self._max_bytes:
                return
            self._next = next(self._uses, None)
            if use.last >= done:
                self._plan(use)
                room, ahead = room + size, ahead + size * (use.first >= begun)

    def _plan(self, use: _Use) -> None:
        self._planned[use] = Future()
        self._queue.put(use)

    def _work(self) -> None:
        while (use := self._queue.get()) is not None:
            if (future := self._planned.get(use)) is not None:
                self._fetch(use.piece, future)
            del future  # else this thread would hold the piece

    def _fetch(self, piece: Piece, future: Future[tuple[H, Held] | None]) -> None:
        try:
            found = self._cache.hold(piece)
            result = None if found is None else (self._open(piece, found[0]), found[1])
            with suppress(InvalidStateError):
                future.set_result(result)
        except BaseException as error:
            with suppress(InvalidStateError):
                future.set_exception(error)


def _release(future: Future[tuple[H, Held] | None]) -> None:
    if future.done() and not future.exception() and (result := future.result()):
        result[1].release()


class PieceReader(Generic[H]):
    """The pieces of a source, one per block.

    Args:
        pieces: The pieces.
        open_: Called with a piece and its file; its result is what `get` returns.
        cache_gb: Most that the cache may take, in 10^9 bytes; None: half of what is free.
        needs_spare: Whether the cache keeps room for one piece that was not planned.
    """

    def __init__(
        self,
        pieces: Sequence[Piece],
        open_: Callable[[Piece, Path], H],
        cache_gb: float | None,
        needs_spare: bool = False,
    ) -> None:
        self.pieces = pieces
        self._open, self._cache_gb, self._needs_spare = open_, cache_gb, needs_spare
        self._ahead: ReadAhead[H] | None = None

    @cached_property
    def cache(self) -> FetchedCache:
        return FetchedCache(None if self._cache_gb is None else int(self._cache_gb * 1e9))

    @cached_property
    def num_held(self) -> int:
        """Return how many pieces the cache holds at a time, whichever they are."""
        rooms = accumulate(sorted((piece.room for piece in self.pieces), reverse=True))
        return sum(room <= self.cache.max_bytes for room in rooms)

    @property
    def max_shuffle_blocks(self) -> int:
        """Return how many may be shuffled into each other: those that are held, except one that comes next."""
        return max(1, self.num_held - 1) if self.num_held < len(self.pieces) else self.num_held

    def problems(self) -> Iterator[str]:
        """Yield a sentence when the cache does not hold the largest piece."""
        if not self.num_held:
            yield (
                f"cache_gb: the cache in {self.cache.folder} may take {self.cache.max_bytes / 1e9:g} GB, and the "
                f"largest piece of the data has {self._largest / 1e9:g} GB"
            )

    @contextmanager
    def read_ahead(self, uses: Iterable[BlockUse]) -> Iterator[Reached]:
        """Fetch pieces during the block, as `HasReadAhead` says."""
        planned = (_Use(self.pieces[number], first, last) for number, first, last in uses)
        spare = self._largest if self._needs_spare and self.num_held > 1 else 0
        ahead = ReadAhead(self.cache, self.cache.max_bytes - spare, planned, self._open)
        with ahead.running() as reached:
            self._ahead = ahead
            try:
                yield reached
            finally:
                self._ahead = None

    def get(self, piece: Piece) -> H | None:
        """Return a piece that was planned, waited for; None for another, and where there is no room for it."""
        return self._ahead.get(piece) if self._ahead else None

    @property
    def _largest(self) -> int:
        return max(piece.room for piece in self.pieces)
